/* SPDX-License-Identifier: Apache-2.0 */
#include <argp.h>
#include <stdio.h>
#include <string.h>

#include <duct/version.h>

#include "tools/cli.h"

/* duct: one program, a subcommand each for what one wants of a pipe at a shell. */

struct command {
    const char *name;
    const char *full_name; /* what its messages and its help begin with */
    int (*run)(int argc, char **argv);
    const char *what;
};

static const struct command commands[] = {
    {"listen", "duct listen", cat_main, "Wait for a pipe; standard input and output over it"},
    {"dial", "duct dial", cat_main, "Open a pipe; standard input and output over it"},
    {"ping", "duct ping", ping_main, "Measure round trips"},
    {"doctor", "duct doctor", doctor_main, "Say what on this machine costs speed or will break"},
    {"bench", "duct bench", bench_main, "Run the benchmark"},
};

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static void usage(FILE *to)
{
    fputs("Usage: duct COMMAND [OPTION...] [URL]\n\n"
          "Messages between processes through shared memory.\n\n",
          to);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(to, "  %-8s %s\n", commands[i].name, commands[i].what);
    fputs("  help     This, or the help of a command: duct help COMMAND\n\n"
          "In one terminal  duct listen shm://hello\n"
          "in another       echo world | duct dial shm://hello\n\n"
          "duct COMMAND --help tells its options; duct --version the version. More in duct(1).\n",
          to);
}

static const struct command *find(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(name, commands[i].name) == 0)
            return &commands[i];
    }
    return NULL;
}

static int run(const struct command *command, int argc, char **argv)
{
    char name[32];

    snprintf(name, sizeof(name), "%s", command->full_name);
    argv[0] = name;
    cli_init(command->full_name);
    return command->run(argc, argv);
}

static int help(const char *name)
{
    char flag[] = "--help", empty[] = "";
    char *argv[] = {empty, flag, NULL};
    const struct command *command = name != NULL ? find(name) : NULL;

    if (command != NULL)
        return run(command, 2, argv);
    if (name != NULL) {
        cli_say("there is no command %s; duct help lists them", name);
        return CLI_USAGE;
    }
    usage(stdout);
    return CLI_OK;
}

int main(int argc, char **argv)
{
    argp_err_exit_status = CLI_USAGE;
    argp_program_version = "duct " DUCT_VERSION_STRING;
    if (argc < 2) {
        usage(stderr);
        return CLI_USAGE;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        printf("%s\n", argp_program_version);
        return CLI_OK;
    }
    if (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0)
        return help(argv[1][0] == 'h' && argc > 2 ? argv[2] : NULL);
    const struct command *command = find(argv[1]);
    if (command == NULL) {
        cli_say("there is no command %s; duct help lists them", argv[1]);
        return CLI_USAGE;
    }
    return run(command, argc - 1, argv + 1);
}
