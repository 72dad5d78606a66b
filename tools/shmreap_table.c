/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#include <duct/options.h>

#include "tools/cli.h"
#include "tools/shmreap.h"

/*
 * A round as a table. On a terminal no line is wider than it: names give way first, then reasons. Elsewhere
 * nothing is cut, and there are no colours.
 */
#define NAME_MIN 16 /* columns that a name keeps, whatever the reason's length */
#define GAP      2

enum { STATE, KIND, SIZE, AGE, OWNER, HOLDS, NAME, WHY, COLUMNS };

static const char *const heads[COLUMNS] = {"STATE", "KIND",  "SIZE", "AGE",
                                           "OWNER", "HOLDS", "NAME", "WHY"};

struct row {
    char state[24], size[32], age[24], owner[64], holds[96], why[512];
    const char *cells[COLUMNS];
};

struct paper {
    bool terminal;
    int columns; /* 0: endless */
    int width[COLUMNS];
};

/* ---- Words ---- */

static void say_age(char *text, size_t size, int64_t age_ns)
{
    static const struct {
        const char *name;
        int64_t seconds;
    } units[] = {{"y", 365 * 86400}, {"d", 86400}, {"h", 3600}, {"m", 60}};
    int64_t seconds = age_ns / DUCT_SECOND;

    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (seconds >= units[i].seconds) {
            snprintf(text, size, "%" PRId64 "%s", seconds / units[i].seconds, units[i].name);
            return;
        }
    }
    snprintf(text, size, "%" PRId64 "s", seconds);
}

static void say_holds(char *text, size_t size, const struct duct_leftover *what)
{
    if (what->holder_count > 1)
        snprintf(text, size, "%s %d, +%zu", what->holders[0].command, (int)what->holders[0].pid,
                 what->holder_count - 1);
    else if (what->holder_count == 1)
        snprintf(text, size, "%s %d", what->holders[0].command, (int)what->holders[0].pid);
    else if (what->undelivered > 0)
        snprintf(text, size, "%" PRIu64 " message%s", what->undelivered,
                 what->undelivered == 1 ? "" : "s");
    else
        snprintf(text, size, "-");
}

static void fill(struct row *row, const struct reap_line *line)
{
    const struct duct_leftover *what = line->what;
    const char *state = duct_leftover_state_name(what->state);

    snprintf(row->state, sizeof(row->state), "%s",
             line->action == REAP_LISTED || line->action == REAP_KEPT
                 ? state
                 : reap_action_name(line->action));
    snprintf(row->size, sizeof(row->size), "%s", cli_bytes((double)what->bytes).text);
    say_age(row->age, sizeof(row->age), what->age_ns);
    reap_owner(what->uid, row->owner, sizeof(row->owner));
    say_holds(row->holds, sizeof(row->holds), what);
    if (line->action == REAP_KEPT || line->action == REAP_ERROR)
        snprintf(row->why, sizeof(row->why), "%s%s", line->action == REAP_KEPT ? "kept: " : "",
                 line->error[0] != '\0' ? line->error : what->reason);
    else if (what->kind >= DUCT_LEFTOVER_POSIX && what->engine[0] != '\0')
        snprintf(row->why, sizeof(row->why), "%s; %s", what->engine, what->reason);
    else
        snprintf(row->why, sizeof(row->why), "%s", what->reason);
    const char *cells[COLUMNS] = {row->state, duct_leftover_kind_name(what->kind),
                                  row->size,  row->age,
                                  row->owner, row->holds,
                                  what->name, row->why};
    memcpy(row->cells, cells, sizeof(cells));
}

/* ---- Paper ---- */

/* Columns that a text takes on the terminal; what the locale does not know counts one a byte. */
static int width_of(const char *text)
{
    mbstate_t state = {0};
    int width = 0;
    wchar_t c;

    for (size_t left = strlen(text), n; left > 0; text += n, left -= n) {
        n = mbrtowc(&c, text, left, &state);
        if (n == 0 || n > left) {
            memset(&state, 0, sizeof(state));
            n = 1;
            width++;
        } else {
            int columns = wcwidth(c);
            width += columns > 0 ? columns : 0;
        }
    }
    return width;
}

/* As much of text as fits into width columns, the last of them '~' if something is cut. */
static void put(const char *text, int width, bool pad, bool right)
{
    int own = width_of(text);
    size_t length = strlen(text);
    char part[1024];

    if (own > width) {
        snprintf(part, sizeof(part), "%s", text);
        for (length = strlen(part); length > 0 && width_of(part) > width - 1;)
            part[--length] = '\0';
        while (length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80)
            part[--length] = '\0'; /* not half a character */
        if (width > 0)
            part[length++] = '~';
        part[length] = '\0';
        text = part;
        own = width_of(text);
    }
    printf("%*s%s%*s", pad && right && own < width ? width - own : 0, "", text,
           pad && !right && own < width ? width - own : 0, "");
}

static const char *colour_of(const struct reap_line *line)
{
    if (line->action == REAP_REMOVED)
        return "32";
    if (line->action == REAP_ERROR)
        return "31";
    switch (line->what->state) {
    case DUCT_LEFTOVER_LIVE:
        return "36";
    case DUCT_LEFTOVER_EMPTY:
        return "33";
    case DUCT_LEFTOVER_FULL:
    case DUCT_LEFTOVER_DAMAGED:
    case DUCT_LEFTOVER_REFUSED:
        return "31";
    case DUCT_LEFTOVER_UNKNOWN:
        break;
    }
    return "35";
}

static void print_row(const struct paper *paper, const char *const *cells, const char *colour)
{
    for (int c = 0; c < COLUMNS; c++) {
        if (paper->width[c] <= 0)
            continue;
        if (c > 0)
            printf("%*s", GAP, "");
        if (c == STATE && colour != NULL && paper->terminal)
            printf("\033[%sm", colour);
        put(cells[c], paper->width[c], c != WHY, c == SIZE || c == AGE);
        if (c == STATE && colour != NULL && paper->terminal)
            printf("\033[0m");
    }
    putchar('\n');
}

/* Gives way until the sum fits: the reason down to nothing, and before it the name down to NAME_MIN. */
static void fit(struct paper *paper)
{
    int sum = GAP * (COLUMNS - 1);

    for (int c = 0; c < COLUMNS; c++)
        sum += paper->width[c];
    if (paper->columns == 0 || sum <= paper->columns)
        return;
    int over = sum - paper->columns, give = paper->width[NAME] - NAME_MIN;
    if (give > 0) {
        give = give < over ? give : over;
        paper->width[NAME] -= give;
        over -= give;
    }
    paper->width[WHY] -= over;
    /* Too narrow even so: what can be had otherwise goes. */
    static const int spare[] = {HOLDS, OWNER, AGE, KIND, SIZE};
    if (paper->width[WHY] <= 0)
        over = -paper->width[WHY] - GAP;
    for (size_t i = 0; paper->width[WHY] <= 0 && over > 0 && i < 5; i++) {
        over -= paper->width[spare[i]] + GAP;
        paper->width[spare[i]] = 0;
    }
    if (paper->width[WHY] <= 0 && over > 0)
        paper->width[NAME] -= over;
}

static void measure(struct paper *paper)
{
    struct winsize size;
    const char *set = getenv("COLUMNS");

    paper->terminal = isatty(STDOUT_FILENO) != 0;
    if (set != NULL && *set >= '1' && *set <= '9')
        paper->columns = (int)strtol(set, NULL, 10);
    else if (paper->terminal && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
        paper->columns = size.ws_col;
    for (int c = 0; c < COLUMNS; c++)
        paper->width[c] = width_of(heads[c]);
}

static void conclude(const struct reap_round *round, const struct reap_options *options)
{
    if (options->reap && !options->dry_run)
        printf("%zu removed (%s), ", round->removed, cli_bytes((double)round->removed_bytes).text);
    printf("%zu left over (%s)", round->left, cli_bytes((double)round->left_bytes).text);
    if (round->undelivered > 0)
        printf(", with %" PRIu64 " undelivered message%s", round->undelivered,
               round->undelivered == 1 ? "" : "s");
    if (round->unknown > 0)
        printf(", %zu unknown", round->unknown);
    printf(".\n");
    for (size_t i = 0; i < duct_janitor_unseen_count(round->janitor); i++)
        printf("Not seen: %s.\n", duct_janitor_unseen(round->janitor, i));
}

void reap_table(const struct reap_round *round, const struct reap_options *options)
{
    struct paper paper = {0};
    struct row row;

    /* A watcher that has nothing to say says nothing. */
    if (options->watch_ns > 0 && round->count == 0)
        return;
    measure(&paper);
    for (size_t i = 0; i < round->count; i++) {
        fill(&row, &round->lines[i]);
        for (int c = 0; c < COLUMNS; c++) {
            int width = width_of(row.cells[c]);
            paper.width[c] = width > paper.width[c] ? width : paper.width[c];
        }
    }
    fit(&paper);
    if (round->count > 0)
        print_row(&paper, heads, NULL);
    for (size_t i = 0; i < round->count; i++) {
        fill(&row, &round->lines[i]);
        print_row(&paper, row.cells, colour_of(&round->lines[i]));
    }
    conclude(round, options);
}
