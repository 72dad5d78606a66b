/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_BASE_CRASH_H
#define DI_BASE_CRASH_H

/*
 * Numbered crash points: places where the death of the process is tried by tests/crash, which lets a
 * process die at the k-th point that it passes, for every k, beside a survivor that checks what must be
 * true afterwards.
 *
 * A point has a name, "object.what_was_just_done", and stands between two steps that the outside can tell
 * apart. Nothing of it is in the library that is shipped, nor in the one that other tests link: only
 * duct_mortal (tests/crash/CMakeLists.txt) is compiled with DI_CRASH_POINTS.
 */

/* Fixed size and no pointer, so that all of them, in a section of their own, are an array. */
struct di_crash_point {
    char name[32];
};

/* Counts, and does not return if it is this process's turn to die: tests/crash/point.c. */
void di_crash_pass(const struct di_crash_point *point);

#ifdef DI_CRASH_POINTS

#define DI_CRASH_POINT(name_)                                                         \
    do {                                                                              \
        static const struct di_crash_point di_crash_here                              \
            __attribute__((section("di_crash_points"), used, aligned(32))) = {name_}; \
        di_crash_pass(&di_crash_here);                                                \
    } while (0)

#else

#define DI_CRASH_POINT(name_) ((void)0)

#endif

#endif
