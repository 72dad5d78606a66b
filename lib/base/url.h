/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_BASE_URL_H
#define DI_BASE_URL_H

#include <stdbool.h>
#include <stddef.h>

#include <duct/error.h>
#include <duct/options.h>

/*
 * Addresses: scheme://rest[?key=value&…]. Pure functions over a string, no I/O.
 *
 * A url is at most DI_URL_MAX bytes of printable ASCII; a value may hold %XX escapes. Every refusal is
 * DUCT_EINVAL whose detail gives the address, the position (from 0) and what was expected there.
 */
#define DI_URL_MAX    512
#define DI_SCHEME_MAX 15
#define DI_NAME_MAX   64 /* of shm://name */

struct di_url {
    char scheme[DI_SCHEME_MAX + 1];
    char rest[DI_URL_MAX + 1];  /* between :// and ? */
    char query[DI_URL_MAX + 1]; /* after ?, "" if none */
    size_t rest_at;             /* positions in the whole, for messages */
    size_t query_at;
};

enum duct_err di_url_parse(struct di_url *url, const char *text) DUCT_NODISCARD;

/* Options after defaults were filled in: what the transports work with. */
struct di_options {
    struct duct_options o; /* every field set; allow_uids points at uids below or is NULL */
    uint32_t *uids;        /* owned: a private copy of the allow list, or NULL */
    char *dir;             /* owned: a private copy of o.dir, or NULL */
    bool spin_given;       /* spin_ns is what somebody asked for, and no default */
};

/*
 * Merges: defaults, then the caller's struct (of whatever size it says), then the address's query.
 * Checks every value and every combination. On DUCT_OK *merged is to be freed with di_options_fini().
 * Errors: INVALID, with the name of the option, the value, and what was expected; NOMEMORY.
 * cpus: number of CPUs online, which decides the default of spin_ns.
 */
enum duct_err di_options_merge(struct di_options *merged, const struct duct_options *given,
                               const struct di_url *url, unsigned cpus) DUCT_NODISCARD;
void di_options_fini(struct di_options *merged);

/* A private copy, with lists of its own; to be freed likewise. NOMEMORY leaves *to as it was. */
enum duct_err di_options_copy(struct di_options *to, const struct di_options *from) DUCT_NODISCARD;

#endif
