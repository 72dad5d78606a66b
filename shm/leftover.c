/* SPDX-License-Identifier: Apache-2.0 */
#include "shm/leftover.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/error.h"

static const char *const kinds[] = {
    [DUCT_LEFTOVER_SOCKET] = "socket",   [DUCT_LEFTOVER_LOCK] = "lock",
    [DUCT_LEFTOVER_SEGMENT] = "durable", [DUCT_LEFTOVER_STRAY] = "stray",
    [DUCT_LEFTOVER_POSIX] = "posix",     [DUCT_LEFTOVER_SEMAPHORE] = "semaphore",
    [DUCT_LEFTOVER_SYSV] = "sysv",
};

static const char *const states[] = {
    [DUCT_LEFTOVER_LIVE] = "live",       [DUCT_LEFTOVER_EMPTY] = "empty",
    [DUCT_LEFTOVER_FULL] = "full",       [DUCT_LEFTOVER_DAMAGED] = "damaged",
    [DUCT_LEFTOVER_REFUSED] = "refused", [DUCT_LEFTOVER_UNKNOWN] = "unknown",
};

const char *duct_leftover_kind_name(enum duct_leftover_kind kind)
{
    return kind >= DUCT_LEFTOVER_SOCKET && kind <= DUCT_LEFTOVER_SYSV ? kinds[kind] : "unknown";
}

const char *duct_leftover_state_name(enum duct_leftover_state state)
{
    return state >= DUCT_LEFTOVER_LIVE && state <= DUCT_LEFTOVER_UNKNOWN ? states[state]
                                                                         : "unknown";
}

/* ---- The lists ---- */

/* Room for one more pointer. */
static bool grow(void *list, size_t count, size_t *capacity)
{
    void **items;

    if (count < *capacity)
        return true;
    size_t wanted = *capacity == 0 ? 16 : 2 * *capacity;
    memcpy(&items, list, sizeof(items));
    items = realloc(items, wanted * sizeof(*items));
    if (items == NULL)
        return false;
    memcpy(list, &items, sizeof(items));
    *capacity = wanted;
    return true;
}

enum duct_err di_janitor_place(struct duct_janitor *janitor, const char *path, uint32_t uid,
                               bool shared)
{
    struct di_place *place = malloc(sizeof(*place));
    enum duct_err err;

    if (place == NULL || !grow(&janitor->places, janitor->place_count, &janitor->place_capacity)) {
        free(place);
        return di_fail_os(ENOMEM, "looking into %s", path);
    }
    if ((err = di_place_open(place, path, uid, shared)) != DUCT_OK) {
        free(place);
        return err;
    }
    /* The same directory by another path, as /run/user/UID may be $XDG_RUNTIME_DIR. */
    for (size_t i = 0; i < janitor->place_count; i++) {
        if (janitor->places[i]->inode == place->inode &&
            janitor->places[i]->device == place->device) {
            di_place_close(place);
            free(place);
            return DUCT_OK;
        }
    }
    janitor->places[janitor->place_count++] = place;
    return DUCT_OK;
}

enum duct_err di_found_add(struct duct_janitor *janitor, struct di_found **out,
                           const struct di_place *place, const char *raw, const char *file)
{
    size_t raw_size = strlen(raw) + 1, name_size, path_size;
    const char *directory = place != NULL ? place->path : "";
    char path[DI_PLACE_PATH_MAX + 256];

    snprintf(path, sizeof(path), "%s%s%s", directory, place != NULL ? "/" : "",
             place == NULL  ? ""
             : file != NULL ? file
                            : raw);
    /* Every byte may become the four of \xNN. */
    name_size = 4 * strlen(raw) + 1;
    path_size = 4 * strlen(path) + 1;
    struct di_found *found = calloc(1, sizeof(*found) + raw_size + name_size + path_size);
    if (found == NULL || !grow(&janitor->found, janitor->count, &janitor->capacity)) {
        free(found);
        return di_fail_os(ENOMEM, "noting %s", path);
    }
    memcpy(found->text, raw, raw_size);
    di_text_clean(found->text + raw_size, name_size, raw, strlen(raw));
    di_text_clean(found->text + raw_size + name_size, path_size, path, strlen(path));
    found->raw = found->text;
    found->place = place;
    found->about.name = found->text + raw_size;
    found->about.path = found->text + raw_size + name_size;
    found->about.engine = place != NULL ? "duct" : "";
    found->about.reason = found->reason;
    janitor->found[janitor->count++] = found;
    *out = found;
    return DUCT_OK;
}

void di_found_judge(struct di_found *found, enum duct_leftover_state state, const char *format, ...)
{
    va_list args;

    found->about.state = state;
    va_start(args, format);
    vsnprintf(found->reason, sizeof(found->reason), format, args);
    va_end(args);
}

void di_found_written(struct di_found *found, int64_t seconds)
{
    struct timespec now = {0};
    int64_t age, most = INT64_MAX / 1000000000;

    clock_gettime(CLOCK_REALTIME, &now);
    /* Files may come from the future, and from before time. */
    if (seconds > now.tv_sec || __builtin_sub_overflow((int64_t)now.tv_sec, seconds, &age))
        age = 0;
    age = (age < most ? age : most) * 1000000000;
    if (!found->measured || age < found->about.age_ns)
        found->about.age_ns = age;
    found->measured = true;
}

void di_found_measure(struct di_found *found, const struct stat *status)
{
    di_found_written(found, (int64_t)status->st_mtim.tv_sec);
    found->about.uid = status->st_uid;
    found->about.bytes += (uint64_t)status->st_blocks * 512;
    found->device = status->st_dev;
    found->inode = status->st_ino;
}

bool di_found_is_ours(struct di_found *found, const struct stat *status, mode_t type,
                      const char *what)
{
    if ((status->st_mode & S_IFMT) != type)
        di_found_judge(found, DUCT_LEFTOVER_REFUSED, "%s is %s; left alone", what,
                       S_ISLNK(status->st_mode) ? "a symbolic link" : "not what its name says");
    else if (status->st_uid != found->place->uid)
        di_found_judge(found, DUCT_LEFTOVER_REFUSED, "%s belongs to uid %u; left alone", what,
                       (unsigned)status->st_uid);
    else if (status->st_nlink != 1)
        di_found_judge(found, DUCT_LEFTOVER_REFUSED, "%s has %ju names; left alone", what,
                       (uintmax_t)status->st_nlink);
    else
        return true;
    return false;
}

void di_janitor_not_seen(struct duct_janitor *janitor, const char *format, ...)
{
    char text[DI_DETAIL_MAX], clean[DI_DETAIL_MAX];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    di_text_clean(clean, sizeof(clean), text, strlen(text));
    char *copy = strdup(clean);
    if (copy == NULL || !grow(&janitor->unseen, janitor->unseen_count, &janitor->unseen_capacity)) {
        free(copy);
        return;
    }
    janitor->unseen[janitor->unseen_count++] = copy;
}

/* ---- The public calls ---- */

static int by_kind_and_path(const void *left, const void *right)
{
    const struct di_found *a = *(struct di_found *const *)left;
    const struct di_found *b = *(struct di_found *const *)right;

    if (a->about.kind != b->about.kind)
        return a->about.kind < b->about.kind ? -1 : 1;
    int order = strcmp(a->about.path, b->about.path);
    return order != 0 ? order : strcmp(a->about.name, b->about.name);
}

static enum duct_err look(struct duct_janitor *janitor, const char *directory)
{
    if (janitor->foreign)
        return directory == NULL
                   ? di_leftover_foreign(janitor)
                   : di_fail(DUCT_EINVAL, "foreign shared memory is in no directory of its own");
    enum duct_err err = directory != NULL
                            ? di_janitor_place(janitor, directory, DI_PLACE_ANYBODY, false)
                            : di_leftover_places(janitor);

    for (size_t i = 0; err == DUCT_OK && i < janitor->place_count; i++) {
        const struct di_place *place = janitor->places[i];
        uint32_t before;
        if ((err = di_place_enter(place->uid, &before)) == DUCT_OK) {
            err = di_leftover_scan(janitor, place);
            di_place_leave(before);
        }
        /* One directory that cannot be read does not hide the others. */
        if (err != DUCT_OK && err != DUCT_ENOMEMORY && directory == NULL) {
            di_janitor_not_seen(janitor, "%s: %s", place->path, duct_err_detail());
            err = DUCT_OK;
        }
    }
    return err;
}

enum duct_err duct_janitor_open(struct duct_janitor **out,
                                const struct duct_janitor_options *options)
{
    struct duct_janitor_options given = DUCT_JANITOR_OPTIONS_INIT;
    struct duct_janitor *janitor;
    enum duct_err err;

    if (out == NULL || (options != NULL && options->size < sizeof(options->size)))
        return di_fail(DUCT_EINVAL, "duct_janitor_open: %s",
                       out == NULL ? "nowhere to put the janitor"
                                   : "options->size is not set; begin with "
                                     "DUCT_JANITOR_OPTIONS_INIT");
    if (options != NULL)
        memcpy(&given, options, options->size < sizeof(given) ? options->size : sizeof(given));
    if ((janitor = calloc(1, sizeof(*janitor))) == NULL)
        return di_fail_os(ENOMEM, "a janitor");
    janitor->own = given.own;
    janitor->foreign = given.foreign;
    if ((err = look(janitor, given.directory)) != DUCT_OK) {
        duct_janitor_close(janitor);
        return err;
    }
    if (janitor->count > 0)
        qsort(janitor->found, janitor->count, sizeof(struct di_found *), by_kind_and_path);
    *out = janitor;
    return DUCT_OK;
}

size_t duct_janitor_count(const struct duct_janitor *janitor)
{
    return janitor != NULL ? janitor->count : 0;
}

const struct duct_leftover *duct_janitor_at(const struct duct_janitor *janitor, size_t index)
{
    return janitor != NULL && index < janitor->count ? &janitor->found[index]->about : NULL;
}

size_t duct_janitor_unseen_count(const struct duct_janitor *janitor)
{
    return janitor != NULL ? janitor->unseen_count : 0;
}

const char *duct_janitor_unseen(const struct duct_janitor *janitor, size_t index)
{
    return janitor != NULL && index < janitor->unseen_count ? janitor->unseen[index] : NULL;
}

enum duct_err duct_janitor_remove(struct duct_janitor *janitor, size_t index, bool discard)
{
    uint32_t before;
    enum duct_err err;

    if (janitor == NULL || index >= janitor->count)
        return di_fail(DUCT_EINVAL, "duct_janitor_remove: there is no leftover number %zu", index);
    struct di_found *found = janitor->found[index];
    const struct duct_leftover *about = &found->about;
    switch (about->state) {
    case DUCT_LEFTOVER_LIVE:
        return di_fail(DUCT_EINUSE, "%s is kept: %s", about->name, about->reason);
    case DUCT_LEFTOVER_REFUSED:
    case DUCT_LEFTOVER_UNKNOWN:
        return di_fail(DUCT_EDENIED, "%s is kept: %s", about->name, about->reason);
    case DUCT_LEFTOVER_FULL:
    case DUCT_LEFTOVER_DAMAGED:
        if (!discard)
            return di_fail(DUCT_EINVAL, "%s is kept: %s; to lose that, discard it", about->name,
                           about->reason);
        break;
    case DUCT_LEFTOVER_EMPTY:
        break;
    }
    if ((err = di_place_enter(about->uid, &before)) != DUCT_OK)
        return err;
    err = found->remove(found, discard);
    di_place_leave(before);
    return err;
}

void duct_janitor_close(struct duct_janitor *janitor)
{
    if (janitor == NULL)
        return;
    for (size_t i = 0; i < janitor->count; i++) {
        free(janitor->found[i]->holders);
        free(janitor->found[i]);
    }
    for (size_t i = 0; i < janitor->unseen_count; i++)
        free(janitor->unseen[i]);
    for (size_t i = 0; i < janitor->place_count; i++) {
        di_place_close(janitor->places[i]);
        free(janitor->places[i]);
    }
    free(janitor->found);
    free(janitor->unseen);
    free(janitor->places);
    free(janitor);
}
