/* SPDX-License-Identifier: Apache-2.0 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/io/wake.h"
#include "tests/race/lane.h"

/*
 * A ring that falls between the two steps of taking the last one. It may be answered by the wait that is
 * under way, but the next ring must be heard: with the steps the other way round the flag would stay up
 * over an empty eventfd. The moment is hit every time, by a read() that rings before it reads.
 */
static struct di_wake wake;
static unsigned between;

ssize_t __real_read(int fd, void *to, size_t size);
ssize_t __wrap_read(int fd, void *to, size_t size);
ssize_t __wrap_read(int fd, void *to, size_t size)
{
    if (fd == wake.fd && between > 0) {
        between--;
        di_wake_ring(&wake);
    }
    return __real_read(fd, to, size);
}

static bool heard(void)
{
    struct pollfd ask = {.fd = wake.fd, .events = POLLIN};

    return poll(&ask, 1, 0) == 1;
}

int main(void)
{
    MUST(di_wake_open(&wake) == DUCT_OK);
    di_wake_ring(&wake);
    between = 1;
    MUST(di_wake_take(&wake) && between == 0);
    if (heard())
        MUST(di_wake_take(&wake));
    MUST(!heard());
    di_wake_ring(&wake);
    MUST(heard() && di_wake_take(&wake));
    MUST(!heard() && !di_wake_take(&wake));
    di_wake_close(&wake);
    return 0;
}
