/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_BASE_LIST_H
#define DI_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

/*
 * A circular doubly linked list whose links lie inside the elements. A head is a link that points at
 * itself when empty; so does an element that is in no list, and one that is all zero counts as such.
 */
struct di_list {
    struct di_list *next;
    struct di_list *prev;
};

static inline void di_list_init(struct di_list *link)
{
    link->next = link;
    link->prev = link;
}

static inline bool di_list_empty(const struct di_list *head)
{
    return head->next == head || head->next == NULL;
}

/* Whether the element is in a list. */
static inline bool di_list_linked(const struct di_list *link)
{
    return !di_list_empty(link);
}

static inline void di_list_append(struct di_list *head, struct di_list *link)
{
    link->prev = head->prev;
    link->next = head;
    head->prev->next = link;
    head->prev = link;
}

/* Leaves link as an element in no list; harmless if it was in none. */
static inline void di_list_remove(struct di_list *link)
{
    if (link->next != NULL) {
        link->prev->next = link->next;
        link->next->prev = link->prev;
    }
    di_list_init(link);
}

/* Moves every element of from to the end of to. */
static inline void di_list_splice(struct di_list *to, struct di_list *from)
{
    if (di_list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    di_list_init(from);
}

/* The struct of the given type whose member is at link. */
#define di_container(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))

#endif
