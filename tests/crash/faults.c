/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/crash/faults.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/crash/victim.h"

struct inject *faults_share(void)
{
    struct inject *inject =
        mmap(NULL, sizeof(*inject), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (inject == MAP_FAILED)
        crash_fail("no memory to share");
    return inject;
}

static int fail(const struct trial *trial, const char *what)
{
    fprintf(stderr, "%s, %s: %s\n", trial->name, trial->inject->what, what);
    return 1;
}

/* One clear error: not a hang, not the absence of one, and with words. */
static bool is_clear(enum duct_err err, const char *detail)
{
    return err > DUCT_OK && err < DUCT_ERR_COUNT && err != DUCT_ETIMEOUT && err != DUCT_EAGAIN &&
           strlen(detail) > 10;
}

static enum duct_err try_once(const struct trial *trial, bool with_fault)
{
    if (trial->prepare != NULL)
        trial->prepare(trial->user);
    atomic_store_explicit(&trial->inject->on, with_fault, memory_order_relaxed);
    enum duct_err err = trial->once(trial->user);
    atomic_store_explicit(&trial->inject->on, 0, memory_order_relaxed);
    return err;
}

static int tries_thrice(void *user)
{
    const struct trial *trial = user;
    char detail[600];

    /* Once without faults: what is made once for a process is there then. */
    if (try_once(trial, false) != DUCT_OK)
        return fail(trial, duct_err_detail());
    unsigned fds = crash_own_fds(), maps = crash_own_shared_maps();
    enum duct_err err = try_once(trial, true);
    snprintf(detail, sizeof(detail), "%s: %s", duct_err_name(err), duct_err_detail());
    if (err != DUCT_OK && !is_clear(err, duct_err_detail()))
        return fail(trial, detail);
    if (crash_own_fds() != fds)
        return fail(trial, "a descriptor was left open");
    if (crash_own_shared_maps() != maps)
        return fail(trial, "a mapping was left");
    if (err != DUCT_OK && trial->inject->report)
        printf("%s: %s\n", trial->inject->what, detail);
    if (try_once(trial, false) != DUCT_OK)
        return fail(trial, duct_err_detail());
    return err != DUCT_OK ? 2 : 0;
}

/* False if the call has fewer errors. */
static bool one_fault(const struct trial *trial, uint64_t n, unsigned which, struct counts *counts)
{
    struct inject *inject = trial->inject;
    struct trial mine = *trial;
    bool report = inject->report;

    memset(inject, 0, sizeof(*inject));
    inject->report = report;
    inject->at = n;
    inject->which = which;
    int status = inject_run(tries_thrice, &mine, inject);
    if (status != 0 && status != 2)
        counts->failures++;
    if (report && inject->done && status == 0)
        printf("%s: got round\n", inject->what);
    counts->faults += inject->done;
    counts->errors += status == 2;
    counts->absorbed += inject->done && status == 0;
    return inject->done;
}

void faults_all(const struct trial *trial, uint64_t every, struct counts *counts)
{
    struct counts mine = {0};

    for (uint64_t n = 1; n == 1 || n <= trial->inject->calls; n += every) {
        mine.calls++;
        for (unsigned which = 0; one_fault(trial, n, which, &mine); which++)
            continue;
    }
    printf("%s: %u calls, %u faults: %u gave an error, %u were got round\n", trial->name,
           mine.calls, mine.faults, mine.errors, mine.absorbed);
    counts->calls += mine.calls;
    counts->faults += mine.faults;
    counts->errors += mine.errors;
    counts->absorbed += mine.absorbed;
    counts->failures += mine.failures;
}
