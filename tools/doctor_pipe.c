/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <duct/duct.h>

#include "tools/cli.h"
#include "tools/doctor.h"

/* The proof: a pipe to ourselves, and a message through it. */

void doctor_runtime(struct doctor_fact *fact)
{
    char url[64];
    struct duct_listener *listener;
    const char *set = getenv("XDG_RUNTIME_DIR");

    snprintf(url, sizeof(url), "shm://duct-doctor-%d", (int)getpid());
    if (duct_listen(&listener, url, NULL) != DUCT_OK) {
        doctor_say(fact, DOCTOR_BREAKS, "%s", duct_err_detail());
        doctor_advise(fact, "set XDG_RUNTIME_DIR to a directory of yours with mode 0700, the same "
                            "for both ends");
        return;
    }
    const char *path = duct_listener_path(listener);
    int length = (int)(strrchr(path, '/') - path);
    doctor_say(fact, DOCTOR_FINE, "%.*s%s", length, path,
               set == NULL ? " (XDG_RUNTIME_DIR is not set)" : "");
    if (strncmp(path, "/tmp/", 5) == 0) {
        fact->verdict = DOCTOR_NOTE;
        doctor_advise(fact,
                      "both ends must see the same /tmp: a service with PrivateTmp= does not");
    }
    duct_listener_close(listener);
}

static enum duct_err through(struct duct_pipe *here, struct duct_pipe *there, int64_t *took_ns)
{
    char text[32];
    size_t size = 0;
    int64_t start = cli_now();

    enum duct_err err = duct_write(here, "doctor", 6, 0, DUCT_SECOND);
    if (err == DUCT_OK)
        err = duct_read(there, text, sizeof(text), &size, NULL, DUCT_SECOND);
    *took_ns = cli_now() - start;
    return err;
}

static enum duct_err try_pipe(struct doctor_fact *fact)
{
    static const char *const bells[] = {"auto", "futex", "eventfd", "socket"};
    struct duct_pipe_info info = DUCT_PIPE_INFO_INIT;
    struct duct_listener *listener;
    struct duct_pipe *here, *there;
    struct duct_context *context;
    char url[64];
    int64_t took = 0;

    snprintf(url, sizeof(url), "shm://duct-doctor-%d", (int)getpid());
    enum duct_err err = duct_context_default(&context);
    if (err != DUCT_OK || (err = duct_listen(&listener, url, NULL)) != DUCT_OK)
        return err;
    if ((err = duct_dial(&here, url, NULL)) == DUCT_OK) {
        if ((err = duct_accept(listener, &there, DUCT_SECOND)) == DUCT_OK) {
            err = through(here, there, &took);
            if (err == DUCT_OK)
                err = duct_pipe_info(here, &info);
            duct_pipe_close(there);
        }
        duct_pipe_close(here);
    }
    duct_listener_close(listener);
    if (err == DUCT_OK)
        doctor_say(fact, DOCTOR_FINE, "works: loop %s, doorbell %s, %llu KiB of memory a side",
                   duct_context_io(context), bells[info.bell],
                   (unsigned long long)info.shared_bytes >> 10);
    return err;
}

void doctor_pipe(struct doctor_fact *fact)
{
    if (try_pipe(fact) != DUCT_OK) {
        doctor_say(fact, DOCTOR_BREAKS, "no message came through: %.120s", duct_err_detail());
        doctor_advise(fact, "see the lines above for what stands in its way");
    }
}
