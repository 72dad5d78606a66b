/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/scheme.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/random.h"
#include "lib/base/system.h"
#include "transports/stream_dial.h"

static struct di_sim *world;
static uint32_t frame_max;

void sim_scheme_world(struct di_sim *sim)
{
    world = sim;
    frame_max = 0;
}

void sim_scheme_frames(uint32_t most)
{
    frame_max = most;
}

static enum duct_err resolve(const struct di_url *url, struct stream_address *addresses,
                             unsigned *count)
{
    /* sim://a,b is a name with two addresses. */
    char names[DI_URL_MAX + 1];
    char *rest = names;
    const char *name;

    snprintf(names, sizeof(names), "%s", url->rest);
    for (*count = 0; *count < STREAM_ADDRESSES_MAX && (name = strsep(&rest, ",")) != NULL;
         (*count)++) {
        struct stream_address *address = &addresses[*count];
        address->size = di_sim_address(&address->at, name);
        snprintf(address->name, sizeof(address->name), "sim://%.100s", name);
    }
    return DUCT_OK;
}

static enum duct_err listen_at(struct di_io *io, const struct di_url *url,
                               const struct di_options *options, int *fd, char *name,
                               size_t capacity, void **state)
{
    int made = di_sim_listen(io, url->rest, options->o.backlog);

    *state = NULL;
    if (made < 0)
        return di_fail_os(-made, "listening at sim://%s", url->rest);
    snprintf(name, capacity, "%s", url->rest);
    *fd = made;
    return DUCT_OK;
}

static void unlisten(struct di_io *io, int fd, void *state)
{
    (void)state;
    di_io_close_socket(io, fd);
}

static void tune(int fd)
{
    (void)fd;
}

static enum duct_err identify(int fd, const struct di_options *options, struct stream_peer *peer)
{
    (void)fd;
    (void)options;
    *peer = (struct stream_peer){.uid = geteuid(), .gid = getegid()};
    return DUCT_OK;
}

static void who(int fd, char *name, size_t capacity)
{
    snprintf(name, capacity, "socket %d", fd);
}

static const struct stream_scheme scheme = {.name = "sim",
                                            .resolve = resolve,
                                            .listen = listen_at,
                                            .unlisten = unlisten,
                                            .tune = tune,
                                            .identify = identify,
                                            .who = who};

static enum duct_err dial_sim(struct duct_context *context, const struct di_url *url,
                              const struct di_options *options, void **out)
{
    return stream_dial(context, &scheme, url, options, NULL, out);
}

static enum duct_err listen_sim(struct duct_context *context, const struct di_url *url,
                                const struct di_options *options, struct duct_listener **listener)
{
    return stream_listen(context, &scheme, url, options, listener);
}

static const struct di_transport transport = {.scheme = "sim",
                                              .costly_looks = true,
                                              .dial_ops = &stream_dial_ops,
                                              .dial = dial_sim,
                                              .listen = listen_sim};

/* ---- What the linker puts in the place of the library's ---- */

const struct di_transport *__real_di_transport_find(const char *name);
const struct di_transport *__wrap_di_transport_find(const char *name);
uint64_t __real_di_random_u64(void);
uint64_t __wrap_di_random_u64(void);
size_t __real_di_shake_begin(struct di_shake *shake, bool dialer, const struct di_hello *own,
                             unsigned char *out);
size_t __wrap_di_shake_begin(struct di_shake *shake, bool dialer, const struct di_hello *own,
                             unsigned char *out);
int64_t __real_di_coarse_now(void);
int64_t __wrap_di_coarse_now(void);

const struct di_transport *__wrap_di_transport_find(const char *name)
{
    return strcmp(name, "sim") == 0 ? &transport : __real_di_transport_find(name);
}

uint64_t __wrap_di_random_u64(void)
{
    return world != NULL ? 1 + di_sim_random(world, UINT64_MAX) : __real_di_random_u64();
}

int64_t __wrap_di_coarse_now(void)
{
    return world != NULL ? di_sim_now(world) : __real_di_coarse_now();
}

size_t __wrap_di_shake_begin(struct di_shake *shake, bool dialer, const struct di_hello *own,
                             unsigned char *out)
{
    struct di_hello hello = *own;

    if (world != NULL && frame_max != 0 && hello.frame_max > frame_max)
        hello.frame_max = frame_max;
    return __real_di_shake_begin(shake, dialer, &hello, out);
}
