/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_FAULTPROXY_ADDRESS_H
#define TESTS_FAULTPROXY_ADDRESS_H

#include <stddef.h>

/* Sockets by HOST:PORT in numbers, /path, or @name. A descriptor, or -1 with errno set. */
int address_connect(const char *address);
/* name: what was bound, with the port that the system chose. */
int address_listen(const char *address, char *name, size_t capacity);

#endif
