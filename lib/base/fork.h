/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_BASE_FORK_H
#define DI_BASE_FORK_H

/*
 * Descriptors that a child made by fork() must not keep: a control socket or lock that lived on in the
 * child would hold the peer, or the next owner, up. A pthread_atfork handler closes what is listed
 * here. Any thread; does not fail: without memory for the list the child keeps the descriptor, and the
 * pidfd of the parent still tells of its death.
 */
void di_fork_close_in_child(int fd);

/* Before the parent closes it. */
void di_fork_forget(int fd);

/* forget, then close. Ignores negative descriptors. */
void di_fork_close(int fd);

#endif
