/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/shm/leftover_kit.h"

/*
 * usage: leave DIR SOCKETS PIPES
 * Leaves in DIR what so many killed listeners and durable pipes would. Of every ten pipes one holds messages.
 */
static int leave_socket(const struct kit *kit, int number)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char lock[32];

    snprintf(address.sun_path, sizeof(address.sun_path), "%s/s%d", kit->path, number);
    snprintf(lock, sizeof(lock), "s%d.lock", number);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    int file = openat(kit->dir.fd, lock, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    int done =
        fd >= 0 && file >= 0 && bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
    close(fd);
    close(file);
    return done;
}

int main(int argc, char **argv)
{
    struct kit kit;
    char name[32];

    if (argc != 4)
        return 2;
    snprintf(kit.path, sizeof(kit.path), "%s", argv[1]);
    if (di_durable_dir_open(&kit.dir, kit.path, geteuid(), false) != DUCT_OK) {
        fprintf(stderr, "%s\n", duct_err_detail());
        return 1;
    }
    for (int i = 0; i < (int)strtol(argv[2], NULL, 10); i++) {
        if (!leave_socket(&kit, i)) {
            perror("a socket");
            return 1;
        }
    }
    for (int i = 0; i < (int)strtol(argv[3], NULL, 10); i++) {
        snprintf(name, sizeof(name), "p%d", i);
        kit_durable(&kit, name, 3, i % 10 == 0 ? 1 : 3);
    }
    di_durable_dir_close(&kit.dir);
    return 0;
}
