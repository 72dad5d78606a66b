/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/shm/leftover_kit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/system.h"
#include "shm/names.h"
#include "tests/shm/durable_book.h"

static void need(bool done, const char *what)
{
    if (done)
        return;
    fprintf(stderr, "cannot make %s: %s (%s)\n", what, duct_err_detail(), strerror(errno));
    _exit(1);
}

void kit_open(struct kit *kit)
{
    snprintf(kit->path, sizeof(kit->path), "/tmp/duct-leftover-XXXXXX");
    need(mkdtemp(kit->path) != NULL, "a directory");
    need(di_durable_dir_open(&kit->dir, kit->path, geteuid(), false) == DUCT_OK, "a directory");
}

static int clear(const struct kit *kit, bool remove)
{
    DIR *stream = opendir(kit->path);
    struct dirent *entry;
    int count = 0;

    need(stream != NULL, "a list of files");
    while ((entry = readdir(stream)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        count++;
        if (remove && unlinkat(kit->dir.fd, entry->d_name, 0) != 0)
            need(unlinkat(kit->dir.fd, entry->d_name, AT_REMOVEDIR) == 0, "an end of it");
    }
    closedir(stream);
    return count;
}

void kit_close(struct kit *kit)
{
    need(fchmod(kit->dir.fd, 0700) == 0, "an end of it");
    clear(kit, true);
    di_durable_dir_close(&kit->dir);
    need(rmdir(kit->path) == 0, "an end of it");
}

bool kit_has(const struct kit *kit, const char *file)
{
    struct stat status;

    return fstatat(kit->dir.fd, file, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

int kit_files(const struct kit *kit)
{
    return clear(kit, false);
}

void kit_socket(const struct kit *kit, const char *name)
{
    char path[DI_SOCKET_PATH_MAX + 1];
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        struct di_bound bound;
        snprintf(path, sizeof(path), "%s/%s", kit->path, name);
        need(di_names_bind(&bound, path, false, 8) == DUCT_OK, "a listener");
        kill(getpid(), SIGKILL);
    }
    need(pid > 0 && waitpid(pid, &status, 0) == pid && WIFSIGNALED(status), "a dead listener");
}

static void store(const struct kit *kit, const char *file, const void *bytes, size_t size)
{
    bool there;
    int fd;

    need(di_durable_file_make(&fd, &kit->dir, size) == DUCT_OK, file);
    if (bytes != NULL)
        need(pwrite(fd, bytes, size, 0) == (ssize_t)size, file);
    need(di_durable_file_link(&kit->dir, fd, file, &there) == DUCT_OK && !there, file);
    close(fd);
}

static void fill(struct book *book, const char *name, enum di_end end, uint64_t id, uint64_t sent)
{
    struct di_durable_header *header = (void *)(book->bytes + DI_DURABLE_HEADER_AT);

    book_make(book, end, id, 100);
    snprintf(header->name, sizeof(header->name), "%s", name);
    header->uid = (uint32_t)geteuid();
    di_boot_id(header->boot_id);
    for (uint64_t i = 0; i < sent; i++)
        book_put(book, 100 + i, 8, UINT32_MAX);
}

static void save(const struct kit *kit, const struct book *book, const char *name, enum di_end end)
{
    char file[DI_DURABLE_FILE_MAX + 1];

    di_durable_pool_name(file, name, end);
    store(kit, file, NULL, 16384);
    di_durable_outbox_name(file, name, end);
    store(kit, file, book->bytes, book->geometry.header.outbox_bytes);
}

void kit_end(const struct kit *kit, const char *name, enum di_end end, uint64_t sent)
{
    static struct book book;

    fill(&book, name, end, end, sent);
    save(kit, &book, name, end);
}

void kit_durable(const struct kit *kit, const char *name, uint64_t sent, uint64_t released)
{
    static struct book listening, dialling;

    fill(&listening, name, DI_END_LISTEN, 1, sent);
    fill(&dialling, name, DI_END_DIAL, 2, sent);
    book_bind(&listening, 2, 100);
    book_bind(&dialling, 1, 100);
    book_release(&listening, 100 + sent, 100 + sent);
    book_release(&dialling, 100 + released, 100 + released);
    save(kit, &listening, name, DI_END_LISTEN);
    save(kit, &dialling, name, DI_END_DIAL);
}

struct duct_janitor *kit_look(const struct kit *kit)
{
    struct duct_janitor_options options = DUCT_JANITOR_OPTIONS_INIT;
    struct duct_janitor *janitor = NULL;

    options.directory = kit->path;
    need(duct_janitor_open(&janitor, &options) == DUCT_OK, "a janitor");
    return janitor;
}

int kit_reap(struct duct_janitor *janitor, bool discard)
{
    int removed = 0;

    for (size_t i = 0; i < duct_janitor_count(janitor); i++)
        removed += duct_janitor_remove(janitor, i, discard) == DUCT_OK;
    return removed;
}

const struct duct_leftover *kit_find(struct duct_janitor *janitor, const char *name, size_t *index)
{
    for (*index = 0; *index < duct_janitor_count(janitor); ++*index)
        if (strcmp(duct_janitor_at(janitor, *index)->name, name) == 0)
            return duct_janitor_at(janitor, *index);
    return NULL;
}
