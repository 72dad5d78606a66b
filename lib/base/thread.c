/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/thread.h"

_Thread_local char di_thread_mark;
