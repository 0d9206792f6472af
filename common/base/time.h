/* base/time.h - units of time as types. Cores get the time as an argument; only drivers read
 * the clocks of base/clock.h. */
#ifndef BASE_TIME_H
#define BASE_TIME_H

#include <stdint.h>

typedef int64_t mono_ms; /* milliseconds of a clock that never jumps; for durations and due times */
typedef int64_t wall_ms; /* milliseconds since 1970 UTC; only where the wire or a file carries it */

#define MONO_NEVER INT64_MAX /* a due time that never comes */

#endif
