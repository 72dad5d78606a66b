/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/membarrier.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <duct/context.h>

#include "tools/doctor.h"

/* What the kernel offers, and what somebody has forbidden it to offer. */

#define OP_FUTEX_WAIT 51u /* IORING_OP_FUTEX_WAIT, also where the headers are older than 6.7 */

static bool kernel_from(unsigned major, unsigned minor)
{
    struct utsname name;
    unsigned have_major = 0, have_minor = 0;

    if (uname(&name) != 0 || sscanf(name.release, "%u.%u", &have_major, &have_minor) != 2)
        return false;
    return have_major > major || (have_major == major && have_minor >= minor);
}

void doctor_kernel(struct doctor_fact *fact)
{
    struct utsname name = {.release = "unknown"};

    uname(&name);
    doctor_say(fact, DOCTOR_FINE, "%s on %s", name.release, name.machine);
    if (!kernel_from(5, 15)) {
        fact->verdict = DOCTOR_BREAKS;
        doctor_advise(fact, "duct is made for 5.15 and newer");
    } else if (!kernel_from(6, 7)) {
        fact->verdict = DOCTOR_SLOW;
        doctor_advise(fact, "from 6.7 on io_uring waits for futexes, the cheapest doorbell");
    }
}

/* Whether a seccomp filter is at work in this process, as in most containers. */
static bool filtered(void)
{
    char line[128];
    FILE *file = fopen("/proc/self/status", "re");
    bool found = false;

    while (file != NULL && !found && fgets(line, sizeof(line), file) != NULL)
        found = strncmp(line, "Seccomp:\t2", 10) == 0;
    if (file != NULL)
        fclose(file);
    return found;
}

void doctor_uring(struct doctor_fact *fact)
{
    struct duct_context_options options = DUCT_CONTEXT_OPTIONS_INIT;
    struct duct_context *context;
    long long disabled = doctor_read_number("/proc/sys/kernel/io_uring_disabled");
    const char *forced = getenv("DUCT_IO");

    options.io = DUCT_IO_URING;
    if (duct_context_open(&context, &options) == DUCT_OK) {
        duct_context_close(context);
        doctor_say(fact, DOCTOR_FINE, "allowed");
        if (forced != NULL && strcmp(forced, "epoll") == 0) {
            doctor_say(fact, DOCTOR_SLOW, "allowed, but DUCT_IO=epoll says not to use it");
            doctor_advise(fact, "unset DUCT_IO");
        }
        return;
    }
    doctor_say(fact, DOCTOR_SLOW, "not allowed: %.100s", duct_err_detail());
    if (disabled > 0)
        doctor_advise(fact, "sysctl kernel.io_uring_disabled is %lld: set it to 0", disabled);
    else if (filtered())
        doctor_advise(fact, "a seccomp filter is at work, as in most containers: allow "
                            "io_uring_setup, io_uring_enter and io_uring_register in its profile");
    else
        doctor_advise(fact, "epoll takes its place; see io_uring_setup(2) for why it may fail");
}

/* Asks the kernel which operations its io_uring knows. -1: it does not say. */
static int ring_knows(unsigned op)
{
    enum { OPS = 256 };
    struct io_uring_params params = {0};
    struct io_uring_probe *probe =
        calloc(1, sizeof(*probe) + OPS * sizeof(struct io_uring_probe_op));
    int known = -1;

    int fd = (int)syscall(SYS_io_uring_setup, 2, &params);
    if (fd >= 0 && probe != NULL &&
        syscall(SYS_io_uring_register, fd, IORING_REGISTER_PROBE, probe, OPS) == 0)
        known = op <= probe->last_op && (probe->ops[op].flags & IO_URING_OP_SUPPORTED) != 0;
    if (fd >= 0)
        close(fd);
    free(probe);
    return known;
}

void doctor_futex(struct doctor_fact *fact)
{
    int known = ring_knows(OP_FUTEX_WAIT);

    if (known == 1) {
        doctor_say(fact, DOCTOR_FINE, "io_uring waits for futexes: the cheapest doorbell");
        return;
    }
    doctor_say(fact, DOCTOR_SLOW, "%s: doorbells take a descriptor each",
               known == 0 ? "this kernel's io_uring does not wait for futexes"
                          : "not without io_uring");
    if (known == 0)
        doctor_advise(fact, "kernel 6.7 and newer do");
}

void doctor_memfd(struct doctor_fact *fact)
{
    const int seals = F_SEAL_SHRINK | F_SEAL_GROW | 0x10 /* F_SEAL_FUTURE_WRITE */ | F_SEAL_SEAL;
    int fd = memfd_create("duct-doctor", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0) {
        doctor_say(fact, DOCTOR_BREAKS, "memfd_create failed: %s", strerror(errno));
        doctor_advise(fact, "allow memfd_create in the container's seccomp profile");
        return;
    }
    if (posix_fallocate(fd, 0, 65536) != 0 || fcntl(fd, F_ADD_SEALS, seals) != 0) {
        doctor_say(fact, DOCTOR_BREAKS, "a memfd cannot be filled and sealed: %s", strerror(errno));
        doctor_advise(fact, "F_SEAL_FUTURE_WRITE needs kernel 5.1; see the memory line, too");
    } else {
        doctor_say(fact, DOCTOR_FINE, "made, filled and sealed");
    }
    close(fd);
}

void doctor_membarrier(struct doctor_fact *fact)
{
    long offered = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);

    if (offered >= 0 && (offered & MEMBARRIER_CMD_GLOBAL_EXPEDITED)) {
        doctor_say(fact, DOCTOR_FINE, "global expedited: streams go without a fence per message");
        return;
    }
    doctor_say(fact, DOCTOR_SLOW, "not available: every message pays for a fence");
    doctor_advise(fact, "allow membarrier in the container's seccomp profile");
}

void doctor_pidfd(struct doctor_fact *fact)
{
    int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);

    if (fd >= 0) {
        close(fd);
        doctor_say(fact, DOCTOR_FINE,
                   "a peer's death is seen even if its children hold its socket");
        return;
    }
    doctor_say(fact, DOCTOR_NOTE, "not available (%s): a peer's death is seen by its socket alone",
               strerror(errno));
    doctor_advise(fact, "allow pidfd_open in the container's seccomp profile");
}
