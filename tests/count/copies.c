/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies of payload on the loaned path: none. What is written at an offset of the sender's pool is
 * read at the same offset of the receiver's map of it, and, though no program should, what is
 * changed after the send is seen changed: there is one payload.
 */
#include <string.h>

#include "tests/count/pair.h"
#include "transports/shm_pipe.h"

static size_t offset_out(struct duct_pipe *pipe, const void *data)
{
    struct link *link = ((struct shm_pipe *)pipe)->link;

    for (unsigned i = 0; i < link->pool_count; i++) {
        size_t offset = (size_t)((const unsigned char *)data - link->pools[i].base);
        if (offset < link->pools[i].size)
            return offset;
    }
    return SIZE_MAX;
}

static size_t offset_in(struct duct_pipe *pipe, const void *data)
{
    struct link_receiver *receiver = ((struct shm_pipe *)pipe)->link->receiver;

    for (unsigned i = 0; i < receiver->pool_count; i++) {
        const unsigned char *base = di_peer_address(receiver->pools[i].base);
        size_t offset = (size_t)((const unsigned char *)data - base);
        if (offset < receiver->pools[i].size)
            return offset;
    }
    return SIZE_MAX;
}

int main(void)
{
    static const size_t sizes[] = {209, 4096, 65536};
    struct pair pair;

    pair_open(&pair, DUCT_IO_AUTO, "");
    for (unsigned i = 0; i < 300; i++) {
        struct duct_pipe *from = pair.pipes[i % 2], *to = pair.pipes[1 - i % 2];
        size_t size = sizes[i % 3];
        struct duct_msg out, in;

        MUST(duct_msg_loan(from, size, &out) == DUCT_OK);
        unsigned char *written = out.data;
        size_t at = offset_out(from, written);
        MUST(at != SIZE_MAX);
        memset(written, (int)i, size);
        MUST(duct_send(from, &out, SOON) == DUCT_OK);
        MUST(duct_recv(to, &in, SOON) == DUCT_OK);
        const unsigned char *read = in.data;
        MUST(offset_in(to, read) == at && read != written);
        MUST(read[0] == (unsigned char)i && read[size - 1] == (unsigned char)i);
        written[size / 2] = (unsigned char)~i;
        MUST(read[size / 2] == (unsigned char)~i);
        MUST(duct_msg_release(&in) == DUCT_OK);
    }
    pair_close(&pair);
    return 0;
}
