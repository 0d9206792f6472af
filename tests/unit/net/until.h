/* Turn the loop of a test's world by hand until something holds, for ten seconds at most. */
#ifndef TESTS_NET_UNTIL_H
#define TESTS_NET_UNTIL_H

#include "base/clock.h"
#include "net/loop.h"

#define UNTIL(w, cond)                                                                        \
    do {                                                                                      \
        mono_ms limit = clock_mono_ms() + 10000;                                              \
        while (!(cond) && clock_mono_ms() < limit)                                            \
            loop_turn((w)->loop, 20);                                                         \
        assert_true(cond);                                                                    \
    } while (0)

#endif
