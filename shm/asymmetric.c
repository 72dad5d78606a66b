/* SPDX-License-Identifier: Apache-2.0 */
#include "shm/asymmetric.h"

#include <linux/membarrier.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool available;

static long membarrier(int command)
{
    return syscall(SYS_membarrier, command, 0, 0);
}

static void probe(void)
{
    const long wanted = MEMBARRIER_CMD_GLOBAL | MEMBARRIER_CMD_GLOBAL_EXPEDITED |
                        MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED;
    long offered = membarrier(MEMBARRIER_CMD_QUERY);

    available = offered > 0 && (offered & wanted) == wanted &&
                membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED) == 0 &&
                membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED) == 0;
}

bool di_asymmetric_available(void)
{
    pthread_once(&once, probe);
    return available;
}

void di_asymmetric_barrier(void)
{
    if (membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED) == 0)
        return;
    /* It worked when probed, so this is a filter installed since. The slow barrier reaches every
     * CPU of the system and needs no registration. */
    membarrier(MEMBARRIER_CMD_GLOBAL);
}
