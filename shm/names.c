/* SPDX-License-Identifier: Apache-2.0 */
#include "shm/names.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/crash.h"
#include "lib/base/error.h"
#include "lib/base/fork.h"
#include "shm/liveness.h"

/* ---- From name to path ---- */

static enum duct_err check_name(const struct di_url *url)
{
    size_t length = strlen(url->rest);

    if (length == 0)
        return di_fail(DUCT_EINVAL, "%s:// at position %zu: expected a name, or /path", url->scheme,
                       url->rest_at);
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)url->rest[i];
        bool allowed = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '_' || c == '-' || (c == '.' && i > 0);
        if (!allowed)
            return di_fail(DUCT_EINVAL,
                           "%s://%s at position %zu: '%c' cannot stand in a name; expected "
                           "letters, digits, '_', '-', '.' (not first), or a path that "
                           "begins with '/'",
                           url->scheme, url->rest, url->rest_at + i, c);
    }
    if (length > DI_NAME_MAX)
        return di_fail(DUCT_EINVAL,
                       "%s://%s at position %zu: a name has at most %d bytes, this one %zu",
                       url->scheme, url->rest, url->rest_at + DI_NAME_MAX, DI_NAME_MAX, length);
    return DUCT_OK;
}

/* The directory is ours alone, and no link. */
static enum duct_err check_directory(const char *path)
{
    struct stat status;

    if (lstat(path, &status) != 0)
        return di_fail_os(errno, "%s", path);
    if (!S_ISDIR(status.st_mode) || status.st_uid != geteuid())
        return di_fail(DUCT_EDENIED,
                       "%s is not a directory of uid %u, but of uid %u or a link; remove "
                       "it, or set XDG_RUNTIME_DIR",
                       path, (unsigned)geteuid(), (unsigned)status.st_uid);
    if ((status.st_mode & 077) != 0)
        return di_fail(DUCT_EDENIED, "%s is open to others (mode %03o); chmod 700 it", path,
                       (unsigned)(status.st_mode & 0777));
    return DUCT_OK;
}

static bool is_directory(const char *path)
{
    struct stat status;

    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

static enum duct_err runtime_directory(char *path, size_t capacity, bool create)
{
    const char *xdg = getenv("XDG_RUNTIME_DIR");
    char run[64];
    int length;

    snprintf(run, sizeof(run), "/run/user/%u", (unsigned)geteuid());
    if (xdg != NULL && xdg[0] == '/')
        length = snprintf(path, capacity, "%s/duct", xdg);
    else if (is_directory(run))
        length = snprintf(path, capacity, "%s/duct", run);
    else
        length = snprintf(path, capacity, "/tmp/duct-%u", (unsigned)geteuid());
    if (length < 0 || (size_t)length >= capacity)
        return di_fail(DUCT_EINVAL,
                       "XDG_RUNTIME_DIR is too long for a socket below it; shorten it");
    if (create && mkdir(path, 0700) != 0 && errno != EEXIST)
        return di_fail_os(errno, "making the directory %s for sockets", path);
    if (!create && !is_directory(path))
        return DUCT_OK;
    return check_directory(path);
}

enum duct_err di_names_path(char *path, size_t capacity, const struct di_url *url, bool create)
{
    char directory[DI_URL_MAX];
    int length;
    enum duct_err err;

    if (url->rest[0] == '/') {
        length = snprintf(path, capacity, "%s", url->rest);
    } else {
        if ((err = check_name(url)) != DUCT_OK ||
            (err = runtime_directory(directory, sizeof(directory), create)) != DUCT_OK)
            return err;
        length = snprintf(path, capacity, "%s/%s", directory, url->rest);
    }
    /* Room for ".lock" beside it is not needed in a sockaddr. */
    if (length < 0 || (size_t)length >= capacity || length > DI_SOCKET_PATH_MAX)
        return di_fail(DUCT_EINVAL,
                       "the socket's path for %s://%s has %d bytes, and the kernel takes at "
                       "most %d; use a shorter name or directory",
                       url->scheme, url->rest, length, DI_SOCKET_PATH_MAX);
    return DUCT_OK;
}

/* ---- Owning a path ---- */

static struct sockaddr_un address_of(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    memcpy(address.sun_path, path, strlen(path) + 1);
    return address;
}

/* Connects a socket of that type, without waiting. 0, or the errno. */
static int connect_to(const char *path, int type, int *out)
{
    struct sockaddr_un address = address_of(path);
    const int yes = 1;
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return errno;
    setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &yes, sizeof(yes));
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        int errnum = errno;
        close(fd);
        return errnum;
    }
    *out = fd;
    return 0;
}

/* No such process runs any more; a zombie does not. */
static bool is_dead(int pid)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);

    if (fd < 0)
        return errno == ESRCH;
    struct pollfd ask = {.fd = fd, .events = POLLIN};
    bool dead = poll(&ask, 1, 0) == 1;
    close(fd);
    return dead;
}

/* Whether somebody answers now, and who. *out: the connection, or -1. */
static enum duct_err probe(const char *path, int *out, bool *answers, int *pid)
{
    static const int types[] = {SOCK_SEQPACKET, SOCK_STREAM, SOCK_DGRAM};
    struct ucred peer = {.pid = 0};
    socklen_t size = sizeof(peer);
    int errnum = EPROTOTYPE;

    *answers = false;
    *pid = 0;
    *out = -1;
    /* A dead socket refuses whoever comes; a live one of another type says so. */
    for (unsigned i = 0; i < sizeof(types) / sizeof(types[0]) && errnum == EPROTOTYPE; i++)
        errnum = connect_to(path, types[i], out);
    if (errnum == ENOENT || errnum == ECONNREFUSED)
        return DUCT_OK;
    /* Its queue is full, which takes somebody who listens. */
    *answers = errnum == EAGAIN || errnum == EPROTOTYPE;
    if (errnum != 0)
        return *answers ? DUCT_OK : di_fail_os(errnum, "asking who listens at %s", path);
    if (getsockopt(*out, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0)
        *pid = peer.pid;
    *answers = *pid == 0 || !is_dead(*pid);
    return DUCT_OK;
}

static void hang_up(int fd)
{
    if (fd >= 0)
        close(fd);
}

/* A process takes some ten milliseconds to lose its io_uring, and more on a busy machine. */
#define DYING_MS 1000

enum duct_err di_names_ask(const char *path, bool *answers, int *pid)
{
    struct pollfd connection = {.fd = -1};
    enum duct_err err = probe(path, &connection.fd, answers, pid);

    /* Of another pid namespace, so that it cannot be told whether it runs: if it does not, we are soon hung up on. */
    bool gone = connection.fd >= 0 && *pid == 0 && poll(&connection, 1, DYING_MS) == 1;
    hang_up(connection.fd);
    if (gone) {
        err = probe(path, &connection.fd, answers, pid);
        hang_up(connection.fd);
    }
    return err;
}

/* A file that somebody else put there is no lock of ours: its owner could hold it for ever, and what has another
 * name besides would be removed with us. One without a name was just unlinked by its last owner. */
static enum duct_err check_lock(int fd, const char *path)
{
    struct stat status;

    if (fstat(fd, &status) != 0)
        return di_fail_os(errno, "%s", path);
    if (S_ISREG(status.st_mode) && status.st_uid == geteuid() && status.st_nlink <= 1)
        return DUCT_OK;
    return di_fail(DUCT_EDENIED,
                   "%s is not a file of uid %u with this name only, but of uid %u, or no plain "
                   "file; remove it, or choose another name",
                   path, (unsigned)geteuid(), (unsigned)status.st_uid);
}

/* Takes the lock file's write lock. The file may be unlinked by its last owner just as we open it:
 * then the lock is on a file that nobody else will find, and we open again. */
static enum duct_err take_lock(struct di_bound *bound)
{
    char path[sizeof(bound->path) + 8];
    enum duct_err err;
    bool taken, answers;
    int pid;

    snprintf(path, sizeof(path), "%s" DI_LOCK_SUFFIX, bound->path);
    for (int attempt = 0; attempt < 100; attempt++) {
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

        if (fd < 0 && errno == ENOENT)
            return di_fail(DUCT_ENOTFOUND,
                           "the directory of %s is not there; make it, or choose another path",
                           bound->path);
        if (fd < 0)
            return di_fail_os(errno, "opening the lock %s", path);
        DI_CRASH_POINT("names.lock_opened");
        if ((err = check_lock(fd, path)) != DUCT_OK) {
            close(fd);
            return err;
        }
        if ((err = di_lock_take(fd, &taken)) != DUCT_OK || !taken) {
            close(fd);
            if (err != DUCT_OK)
                return err;
            int answer;
            enum duct_err asked = probe(bound->path, &answer, &answers, &pid);
            hang_up(answer);
            if (asked != DUCT_OK || pid == 0)
                return di_fail(DUCT_EINUSE, "%s is being bound by another process, which holds %s",
                               bound->path, path);
            return di_fail(DUCT_EINUSE,
                           "%s has a listener: process %d; stop it, or choose another name",
                           bound->path, pid);
        }
        if (di_names_this(AT_FDCWD, path, fd)) {
            di_fork_close_in_child(fd);
            bound->lock = fd;
            DI_CRASH_POINT("names.locked");
            return DUCT_OK;
        }
        close(fd);
    }
    return di_fail(DUCT_EINUSE, "%s changes hands faster than it can be taken", path);
}

/*
 * Something is at path, and we hold the lock. A socket that answers, of whatever type, belongs to a program
 * that does not keep our rules, and is not ours to remove; nor is anything but a socket.
 */
static enum duct_err clear_stale(const char *path)
{
    struct stat status;
    enum duct_err err;
    bool answers;
    int pid;

    if (lstat(path, &status) != 0)
        return errno == ENOENT ? DUCT_OK : di_fail_os(errno, "%s", path);
    if (!S_ISSOCK(status.st_mode))
        return di_fail(DUCT_EINUSE,
                       "%s exists and is not a socket; remove it, or choose another name", path);
    if ((err = di_names_ask(path, &answers, &pid)) != DUCT_OK)
        return err;
    if (answers && pid != 0)
        return di_fail(DUCT_EINUSE,
                       "%s has a listener that holds no lock: process %d; stop it, or choose "
                       "another name",
                       path, pid);
    if (answers)
        return di_fail(DUCT_EINUSE,
                       "%s belongs to a program that lives and holds no lock; stop it, or choose "
                       "another name",
                       path);
    DI_CRASH_POINT("names.stale_seen");
    if (unlink(path) != 0 && errno != ENOENT)
        return di_fail_os(errno, "removing the stale socket %s", path);
    DI_CRASH_POINT("names.stale_removed");
    return DUCT_OK;
}

static enum duct_err bind_and_listen(struct di_bound *bound, int backlog, int type)
{
    struct sockaddr_un address = address_of(bound->path);
    const int yes = 1;

    bound->socket = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (bound->socket < 0)
        return di_fail_os(errno, "a socket for %s", bound->path);
    di_fork_close_in_child(bound->socket);
    /* Inherited by accepted sockets, so that not even the first message comes without credentials.
     */
    setsockopt(bound->socket, SOL_SOCKET, SO_PASSCRED, &yes, sizeof(yes));
    /* Before bind, so that the file never has another mode. */
    fchmod(bound->socket, bound->open ? 0666 : 0600);
    DI_CRASH_POINT("names.socket_made");
    if (bind(bound->socket, (struct sockaddr *)&address, sizeof(address)) != 0) {
        enum duct_err err = di_fail_os(errno, "binding %s", bound->path);
        /* What lies there was not made by us, and is not ours to remove. */
        di_fork_close(bound->socket);
        bound->socket = -1;
        return err;
    }
    DI_CRASH_POINT("names.bound");
    if (chmod(bound->path, bound->open ? 0666 : 0600) != 0 || listen(bound->socket, backlog) != 0)
        return di_fail_os(errno, "listening at %s", bound->path);
    DI_CRASH_POINT("names.listening");
    return DUCT_OK;
}

static enum duct_err bind_type(struct di_bound *bound, const char *path, bool open, int backlog,
                               int type)
{
    enum duct_err err;

    *bound = (struct di_bound){.socket = -1, .lock = -1, .open = open};
    snprintf(bound->path, sizeof(bound->path), "%s", path);
    if ((err = take_lock(bound)) != DUCT_OK)
        return err;
    if ((err = clear_stale(path)) != DUCT_OK) {
        /* What is there is not ours: leave it, and its lock file, alone. */
        di_fork_close(bound->lock);
        return err;
    }
    if ((err = bind_and_listen(bound, backlog, type)) != DUCT_OK)
        di_names_unbind(bound);
    return err;
}

enum duct_err di_names_bind(struct di_bound *bound, const char *path, bool open, int backlog)
{
    return bind_type(bound, path, open, backlog, SOCK_SEQPACKET);
}

enum duct_err di_names_bind_stream(struct di_bound *bound, const char *path, bool open, int backlog)
{
    return bind_type(bound, path, open, backlog, SOCK_STREAM);
}

void di_names_unbind(struct di_bound *bound)
{
    char lock_path[sizeof(bound->path) + 8];
    struct stat status;

    snprintf(lock_path, sizeof(lock_path), "%s" DI_LOCK_SUFFIX, bound->path);
    if (bound->lock >= 0 && bound->socket >= 0 && lstat(bound->path, &status) == 0 &&
        S_ISSOCK(status.st_mode))
        unlink(bound->path);
    di_fork_close(bound->socket);
    DI_CRASH_POINT("names.socket_removed");
    /* The lock goes last: until then nobody else acts on the path. */
    if (bound->lock >= 0)
        unlink(lock_path);
    DI_CRASH_POINT("names.lock_removed");
    di_fork_close(bound->lock);
    bound->socket = -1;
    bound->lock = -1;
}

enum duct_err di_names_connect(int *out, const char *path)
{
    int errnum = connect_to(path, SOCK_SEQPACKET, out);

    switch (errnum) {
    case 0:
        DI_CRASH_POINT("names.connected");
        return DUCT_OK;
    case EAGAIN:
        return DUCT_EAGAIN;
    case ENOENT:
    case ECONNREFUSED:
        return di_fail(DUCT_ENOTFOUND,
                       "nobody listens at %s; start the listener first, or dial with "
                       "wait_listener=1",
                       path);
    case EPROTOTYPE:
        return di_fail(DUCT_EREFUSED,
                       "%s is a socket of another kind, which no shm:// listener made; dial it as "
                       "uds://%s if duct listens there, or choose another name",
                       path, path);
    default:
        return di_fail_os(errnum, "dialling %s", path);
    }
}
