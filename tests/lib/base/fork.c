/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/fork.h"

/* What was listed is closed in a child made by fork(), and only that; here it stays open. */

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static bool child_sees(int closed, int open)
{
    pid_t child = fork();
    int status;

    cr_assert_geq(child, 0);
    if (child == 0)
        _exit(is_open(closed) || !is_open(open));
    cr_assert_eq(waitpid(child, &status, 0), child);
    return status == 0;
}

Test(fork, closes_what_was_listed)
{
    int listed = dup(0), other = dup(0), high = fcntl(0, F_DUPFD, 900);

    cr_assert(listed >= 0 && other >= 0 && high >= 900);
    di_fork_close_in_child(listed);
    cr_assert(child_sees(listed, other));
    di_fork_close_in_child(high); /* past what the list had room for */
    cr_assert(child_sees(high, other));
    cr_assert(is_open(listed) && is_open(high));
}

Test(fork, forgets)
{
    int fd = dup(0), kept = dup(0);

    di_fork_close_in_child(fd);
    di_fork_close_in_child(kept);
    di_fork_forget(fd);
    cr_assert(child_sees(kept, fd));
    di_fork_forget(1 << 20); /* never listed */
    di_fork_close(kept);
    di_fork_close(-1);
    cr_assert(!is_open(kept));
    /* The number is another file's now. */
    cr_assert_eq(dup2(0, kept), kept);
    cr_assert(child_sees(1 << 20, kept));
}
