/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct kind {
    const char *name;
    const char *text;
};

static const struct kind kinds[DUCT_ERR_COUNT] = {
    [DUCT_OK] = {"OK", "no error"},
    [DUCT_EAGAIN] = {"AGAIN", "nothing to receive, or no room to send, right now"},
    [DUCT_ETIMEOUT] = {"TIMEOUT", "the time given to the call is over"},
    [DUCT_ECANCELED] = {"CANCELED", "the wait was cancelled"},
    [DUCT_EINVAL] = {"INVALID", "an argument, an address, or the moment of the call is wrong"},
    [DUCT_ECLOSED] = {"CLOSED", "the pipe was closed in order"},
    [DUCT_ETOOBIG] = {"TOOBIG", "the message is larger than the pipe, or the buffer, takes"},
    [DUCT_ENOTSUP] = {"NOTSUP", "this transport, kernel or build cannot do that"},
    [DUCT_EPEER] = {"PEER", "the peer's process died"},
    [DUCT_ECORRUPT] = {"CORRUPT", "the peer broke the protocol"},
    [DUCT_EREFUSED] = {"REFUSED", "the peer refused the pipe"},
    [DUCT_EVERSION] = {"VERSION", "the two sides have no protocol version in common"},
    [DUCT_ENOMEMORY] = {"NOMEMORY", "there is no memory left"},
    [DUCT_ENOSPACE] = {"NOSPACE", "there is no space left for shared memory"},
    [DUCT_ELIMIT] = {"LIMIT", "a limit on descriptors, maps or memory was reached"},
    [DUCT_EDENIED] = {"DENIED", "credentials or permissions do not allow it"},
    [DUCT_EINUSE] = {"INUSE", "the address has an owner that is alive"},
    [DUCT_ENOTFOUND] = {"NOTFOUND", "nobody listens there"},
    [DUCT_EOS] = {"OS", "the operating system failed"},
};

static const struct kind unknown = {"UNKNOWN", "not an error of this library"};

static const struct kind *kind_of(enum duct_err err)
{
    return (unsigned)err < DUCT_ERR_COUNT ? &kinds[err] : &unknown;
}

const char *duct_err_name(enum duct_err err)
{
    return kind_of(err)->name;
}

const char *duct_err_text(enum duct_err err)
{
    return kind_of(err)->text;
}

/* NOTFOUND and INUSE are not: somebody has to start, or to stop, a program first. */
bool duct_err_retryable(enum duct_err err)
{
    return err == DUCT_EAGAIN || err == DUCT_ETIMEOUT || err == DUCT_ECANCELED;
}

static _Thread_local char detail[DI_DETAIL_MAX];

const char *duct_err_detail(void)
{
    return detail;
}

/* Takes the bytes of a character that was cut in two off the end of a text that fills its buffer.
 */
static void cut_at_character(char *text, size_t length)
{
    size_t start = length;
    while (start > 0 && ((unsigned char)text[start - 1] & 0xc0) == 0x80)
        start--;
    if (start == 0)
        return;
    unsigned char lead = (unsigned char)text[start - 1];
    size_t wanted = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
    if (length - (start - 1) < wanted)
        text[start - 1] = '\0';
}

/*
 * Into a buffer of its own first: an argument may be duct_err_detail(), of which this adds a cause.
 * tail is kept whole; where there is no room for both, it is the sentence that is cut.
 */
__attribute__((format(printf, 1, 0))) static void set_detail(const char *format, va_list args,
                                                             const char *tail)
{
    char text[DI_DETAIL_MAX];
    size_t tail_size = strlen(tail);
    size_t capacity = sizeof text - tail_size;
    int length = vsnprintf(text, capacity, format, args);
    if (length < 0)
        text[0] = '\0';
    else if ((size_t)length >= capacity)
        cut_at_character(text, capacity - 1);
    size_t used = strlen(text);
    memcpy(detail, text, used);
    memcpy(detail + used, tail, tail_size + 1);
}

enum duct_err di_fail(enum duct_err err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    set_detail(format, args, "");
    va_end(args);
    return err;
}

/* One row per errno that means something to a caller; all others are OS. */
struct cause {
    int errnum;
    enum duct_err err;
    const char *advice; /* "" or what to do, after the system's words */
};

static const struct cause causes[] = {
    /* Who may wait for a call handles EAGAIN before it comes here. DUCT_EAGAIN would say "not yet" of a
     * failure, and somebody would wait for what never comes. */
    {EAGAIN, DUCT_ELIMIT, "; a limit, of locked memory for one, is used up for now"},
    {EINTR, DUCT_EOS, "; a signal came in between: try again"},
    {ETIMEDOUT, DUCT_ETIMEOUT, ""},
    {ECANCELED, DUCT_ECANCELED, ""},
    {ENAMETOOLONG, DUCT_EINVAL, "; use a shorter name or directory"},
    {EMSGSIZE, DUCT_ETOOBIG, ""},
    {ENOSYS, DUCT_ENOTSUP, "; this kernel, or the sandbox, does not offer it"},
    {EOPNOTSUPP, DUCT_ENOTSUP, ""},
    {EPROTONOSUPPORT, DUCT_ENOTSUP, ""},
    {EAFNOSUPPORT, DUCT_ENOTSUP, ""},
    {EPIPE, DUCT_EPEER, ""},
    {ECONNRESET, DUCT_EPEER, ""},
    {ENOMEM, DUCT_ENOMEMORY,
     "; free memory, or raise the memory limit of this process or its cgroup"},
    {ENOBUFS, DUCT_ENOMEMORY, ""},
    {ENOSPC, DUCT_ENOSPACE, "; enlarge or clear /dev/shm, or choose a smaller pool"},
    {EDQUOT, DUCT_ENOSPACE, "; the quota of this user is used up"},
    {EMFILE, DUCT_ELIMIT, "; raise the descriptor limit of this process (ulimit -n)"},
    {ENFILE, DUCT_ELIMIT, "; raise the descriptor limit of the system (sysctl fs.file-max)"},
    {ETOOMANYREFS, DUCT_ELIMIT, "; too many descriptors are on their way between processes"},
    {EPERM, DUCT_EDENIED, "; check the user both programs run as, and the sandbox"},
    {EACCES, DUCT_EDENIED, "; check the owner and the mode of the path"},
    {EADDRINUSE, DUCT_EINUSE, ""},
    {ENOENT, DUCT_ENOTFOUND, ""},
    {ECONNREFUSED, DUCT_ENOTFOUND, ""},
    {ENETUNREACH, DUCT_EOS, "; check the address, and this machine's link and routes"},
    {EHOSTUNREACH, DUCT_EOS, "; check the address, and that the other machine is up"},
};

static const struct cause *cause_of(int errnum)
{
    static const struct cause other = {0, DUCT_EOS, ""};
    for (size_t i = 0; i < sizeof causes / sizeof causes[0]; i++)
        if (causes[i].errnum == errnum)
            return &causes[i];
    return &other;
}

enum duct_err di_err_of_errno(int errnum)
{
    return cause_of(errnum)->err;
}

enum duct_err di_fail_os(int errnum, const char *format, ...)
{
    const struct cause *cause = cause_of(errnum);
    const char *words = strerrordesc_np(errnum); /* not strerror: no locale, no shared buffer */
    char tail[DI_DETAIL_MAX / 2];
    if (words != NULL)
        snprintf(tail, sizeof tail, ": %s%s", words, cause->advice);
    else
        snprintf(tail, sizeof tail, ": error %d", errnum);

    va_list args;
    va_start(args, format);
    set_detail(format, args, tail);
    va_end(args);
    return cause->err;
}
