/* SPDX-License-Identifier: Apache-2.0 */
/*
 * H19: what others may have put where a listener's socket and lock are to be: links of either kind, other
 * people's files, things that are no files. None is followed, believed, or removed.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/hostile/beside.h"

/* A directory of the play's own, with a precious file in it, and where the lock and the socket would be. */
struct place {
    char directory[64];
    char precious[96];
    char lock[96];
    char socket[96];
    char url[128];
};

static void open_place(struct place *p)
{
    snprintf(p->directory, sizeof(p->directory), "/tmp/duct-files-XXXXXX");
    MUST(mkdtemp(p->directory) != NULL);
    snprintf(p->precious, sizeof(p->precious), "%s/precious", p->directory);
    snprintf(p->socket, sizeof(p->socket), "%s/here", p->directory);
    snprintf(p->lock, sizeof(p->lock), "%s/here.lock", p->directory);
    snprintf(p->url, sizeof(p->url), "shm://%s", p->socket);
    int fd = open(p->precious, O_CREAT | O_WRONLY | O_CLOEXEC, 0640);
    MUST(fd >= 0 && write(fd, "precious", 8) == 8);
    close(fd);
}

static void close_place(struct place *p)
{
    struct stat status;

    /* As it was: nobody wrote to it, removed it, or changed who may read it. */
    MUST(stat(p->precious, &status) == 0 && status.st_size == 8 && (status.st_mode & 0777) == 0640);
    unlink(p->precious);
    unlink(p->lock);
    unlink(p->socket);
    MUST(rmdir(p->directory) == 0);
}

static enum duct_err listens(struct beside *b, struct place *p)
{
    struct duct_options options = DUCT_OPTIONS_INIT;
    struct duct_listener *listener;

    options.context = b->server;
    enum duct_err err = duct_listen(&listener, p->url, &options);
    if (err == DUCT_OK)
        duct_listener_close(listener);
    return err;
}

static void locks(struct beside *b)
{
    struct stat status;
    struct place p;

    open_place(&p);
    MUST(symlink(p.precious, p.lock) == 0);
    MUST(listens(b, &p) != DUCT_OK);
    MUST(lstat(p.lock, &status) == 0 && S_ISLNK(status.st_mode) && unlink(p.lock) == 0);

    MUST(link(p.precious, p.lock) == 0);
    GIVES(listens(b, &p), DUCT_EDENIED);
    MUST(stat(p.lock, &status) == 0 && status.st_nlink == 2 && unlink(p.lock) == 0);

    MUST(mkfifo(p.lock, 0600) == 0);
    GIVES(listens(b, &p), DUCT_EDENIED);
    MUST(unlink(p.lock) == 0);

    MUST(mkdir(p.lock, 0700) == 0);
    MUST(listens(b, &p) != DUCT_OK);
    MUST(rmdir(p.lock) == 0);

    /* Another's, who could hold its lock for ever, or hand it out. */
    int fd = open(p.lock, O_CREAT | O_WRONLY | O_CLOEXEC, 0666);
    MUST(fd >= 0);
    close(fd);
    if (geteuid() == 0) {
        MUST(chown(p.lock, 4242, 4242) == 0);
        GIVES(listens(b, &p), DUCT_EDENIED);
        MUST(stat(p.lock, &status) == 0 && status.st_uid == 4242);
        MUST(chown(p.lock, 0, 0) == 0);
    }
    /* One's own, left by a process that died. */
    GIVES(listens(b, &p), DUCT_OK);
    MUST(stat(p.lock, &status) != 0);
    close_place(&p);
    beside_round(b);
}

static void sockets(struct beside *b)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat status;
    struct place p;

    open_place(&p);
    MUST(symlink(p.precious, p.socket) == 0);
    GIVES(listens(b, &p), DUCT_EINUSE);
    MUST(lstat(p.socket, &status) == 0 && S_ISLNK(status.st_mode) && unlink(p.socket) == 0);
    MUST(link(p.precious, p.socket) == 0);
    GIVES(listens(b, &p), DUCT_EINUSE);
    MUST(unlink(p.socket) == 0);
    MUST(mkdir(p.socket, 0700) == 0);
    GIVES(listens(b, &p), DUCT_EINUSE);
    MUST(rmdir(p.socket) == 0);

    /* A socket that somebody listens at without a lock is left alone; one that nobody does is stale. */
    memcpy(address.sun_path, p.socket, strlen(p.socket) + 1);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    MUST(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(fd, 4) == 0);
    GIVES(listens(b, &p), DUCT_EINUSE);
    MUST(lstat(p.socket, &status) == 0);
    close(fd);
    GIVES(listens(b, &p), DUCT_OK);
    close_place(&p);
    beside_round(b);
}

int main(void)
{
    static const struct play plays[] = {
        {"H19 in place of a lock", PLAY_DEFAULT, locks, NULL},
        {"H19 in place of a socket", PLAY_DEFAULT, sockets, NULL},
    };

    meter_start();
    return play_all(plays, sizeof(plays) / sizeof(plays[0]));
}
