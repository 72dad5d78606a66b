/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <unistd.h>

/*
 * usage: holder open|map|semaphore NAME, holder sysv
 * Makes it, holds it so, says "ready" (a System V segment: its id), and stays until it is killed.
 */
static void need(int done, const char *what)
{
    if (!done) {
        perror(what);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "", *name = argc > 2 ? argv[2] : "";

    if (strcmp(how, "sysv") == 0) {
        int id = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
        need(id >= 0 && shmat(id, NULL, 0) != (void *)-1, "shmat");
        printf("%d\n", id);
    } else if (strcmp(how, "semaphore") == 0) {
        need(sem_open(name, O_CREAT, 0600, 0) != SEM_FAILED, "sem_open");
        printf("ready\n");
    } else {
        int fd = shm_open(name, O_CREAT | O_RDWR, 0600);
        need(fd >= 0 && ftruncate(fd, 8192) == 0, "shm_open");
        if (strcmp(how, "map") == 0) {
            char *memory = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
            need(memory != MAP_FAILED, "mmap");
            memory[0] = 1;
            close(fd);
        }
        printf("ready\n");
    }
    fflush(stdout);
    for (;;)
        pause();
}
