/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_TRANSPORTS_STREAM_LOAN_H
#define DI_TRANSPORTS_STREAM_LOAN_H

#include "transports/stream.h"

/* The loan that a message names, or NULL: it is none of this pipe's, or over. */
struct stream_loan *stream_find_loan(struct stream_loans *loans, const struct duct_msg *msg);

/* The place is free for another loan; so is the chunk, where it still has one. */
void stream_give_back(struct stream_loans *loans, struct stream_loan *loan);

#endif
