/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>
#include <stdio.h>

#include <duct/options.h>
#include <duct/version.h>

#include "tools/shmreap.h"

/* A round as one JSON object; with --watch as one line, so that rounds can be told apart. */

static json_t *holders(const struct duct_leftover *what)
{
    json_t *array = json_array();

    for (size_t i = 0; i < what->holder_count; i++) {
        const struct duct_holder *holder = &what->holders[i];
        json_t *object = json_object();
        json_object_set_new(object, "pid", json_integer(holder->pid));
        json_object_set_new(object, "uid", json_integer(holder->uid));
        json_object_set_new(object, "command", json_string(holder->command));
        json_object_set_new(object, "open", json_boolean(holder->open));
        json_object_set_new(object, "mapped", json_boolean(holder->mapped));
        json_array_append_new(array, object);
    }
    return array;
}

static json_t *leftover(const struct reap_line *line)
{
    const struct duct_leftover *what = line->what;
    json_t *object = json_object();
    char owner[64];

    json_object_set_new(object, "kind", json_string(duct_leftover_kind_name(what->kind)));
    json_object_set_new(object, "state", json_string(duct_leftover_state_name(what->state)));
    json_object_set_new(object, "name", json_string(what->name));
    json_object_set_new(object, "path", json_string(what->path));
    json_object_set_new(object, "engine", json_string(what->engine));
    json_object_set_new(object, "uid", json_integer(what->uid));
    json_object_set_new(object, "owner", json_string(reap_owner(what->uid, owner, sizeof(owner))));
    json_object_set_new(object, "bytes", json_integer((json_int_t)what->bytes));
    json_object_set_new(object, "age_s", json_integer(what->age_ns / DUCT_SECOND));
    json_object_set_new(object, "undelivered", json_integer((json_int_t)what->undelivered));
    json_object_set_new(object, "reason", json_string(what->reason));
    json_object_set_new(object, "action", json_string(reap_action_name(line->action)));
    if (line->error[0] != '\0')
        json_object_set_new(object, "error", json_string(line->error));
    if (what->kind >= DUCT_LEFTOVER_POSIX)
        json_object_set_new(object, "holders", holders(what));
    return object;
}

void reap_json(const struct reap_round *round, const struct reap_options *options)
{
    json_t *object = json_object(), *leftovers = json_array(), *unseen = json_array();

    for (size_t i = 0; i < round->count; i++)
        json_array_append_new(leftovers, leftover(&round->lines[i]));
    for (size_t i = 0; i < duct_janitor_unseen_count(round->janitor); i++)
        json_array_append_new(unseen, json_string(duct_janitor_unseen(round->janitor, i)));
    json_object_set_new(object, "version", json_string(duct_version()));
    json_object_set_new(object, "left", json_integer((json_int_t)round->left));
    json_object_set_new(object, "left_bytes", json_integer((json_int_t)round->left_bytes));
    json_object_set_new(object, "undelivered", json_integer((json_int_t)round->undelivered));
    json_object_set_new(object, "removed", json_integer((json_int_t)round->removed));
    json_object_set_new(object, "removed_bytes", json_integer((json_int_t)round->removed_bytes));
    json_object_set_new(object, "failed", json_integer((json_int_t)round->failed));
    json_object_set_new(object, "leftovers", leftovers);
    json_object_set_new(object, "unseen", unseen);
    json_dumpf(object, stdout, options->watch_ns > 0 ? JSON_COMPACT : JSON_INDENT(2));
    putchar('\n');
    json_decref(object);
}
