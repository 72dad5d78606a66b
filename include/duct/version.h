/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DUCT_VERSION_H
#define DUCT_VERSION_H

/*
 * Version of the library, and the macros every public declaration uses.
 *
 * The numbers follow semantic versioning. Below 1.0 a change of the minor number may change the API;
 * the shared-memory layout and the handshake carry versions of their own and are negotiated between
 * the two processes (see docs/PROTOCOL.md).
 */
#define DUCT_VERSION_MAJOR  0
#define DUCT_VERSION_MINOR  1
#define DUCT_VERSION_PATCH  0
#define DUCT_VERSION_STRING "0.1.0"

#if defined(__GNUC__)
#define DUCT_API       __attribute__((visibility("default")))
#define DUCT_NODISCARD __attribute__((warn_unused_result))
#else
#define DUCT_API
#define DUCT_NODISCARD
#endif

/* Initialiser of a struct that begins with its own size, everything else 0; see DUCT_OPTIONS_INIT. */
#ifdef __cplusplus
#define DUCT_SIZED(type) \
    {                    \
        sizeof(type)     \
    }
#else
#define DUCT_SIZED(type)     \
    {                        \
        .size = sizeof(type) \
    }
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* The version of the library that is loaded, e.g. "0.1.0". Static storage; any thread; never blocks. */
DUCT_API const char *duct_version(void);

#ifdef __cplusplus
}
#endif

#endif
