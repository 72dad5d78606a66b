/* SPDX-License-Identifier: Apache-2.0 */
#include "transports/stream_schemes.h"

#include <string.h>

#include "transports/stream_dial.h"

/* The schemes over byte streams, as core knows them: one way to dial and to listen, with the addresses of each. */

static const struct stream_scheme *scheme_of(const struct di_url *url)
{
    bool tcp = strcmp(url->scheme, stream_scheme_tcp.name) == 0;

    return tcp ? &stream_scheme_tcp : &stream_scheme_uds;
}

static enum duct_err dial(struct duct_context *context, const struct di_url *url,
                          const struct di_options *options, void **out)
{
    return stream_dial(context, scheme_of(url), url, options, NULL, out);
}

static enum duct_err listen_at(struct duct_context *context, const struct di_url *url,
                               const struct di_options *options, struct duct_listener **listener)
{
    return stream_listen(context, scheme_of(url), url, options, listener);
}

const struct di_transport di_transport_tcp = {.scheme = "tcp",
                                              .costly_looks = true,
                                              .dial_ops = &stream_dial_ops,
                                              .dial = dial,
                                              .listen = listen_at};
const struct di_transport di_transport_uds = {.scheme = "uds",
                                              .costly_looks = true,
                                              .dial_ops = &stream_dial_ops,
                                              .dial = dial,
                                              .listen = listen_at};
