/* A profile that is taken comes back the same from a second round. */
#include "profile/pprof_out.h"

#include "base/assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct pprof_head head = {
        STR_INIT("cpu"), STR_INIT("ns"), STR_INIT("cpu"), STR_INIT("ns"), 1, 2, 3};
    struct pprof_out *p = NULL, *again = NULL;
    struct buf first = {0}, second = {0};
    ASSERT(pprof_out_init(&p, NULL) == 0 && pprof_out_init(&again, NULL) == 0);
    if (pprof_out_merge(p, str_of(data, size), NULL) == 0) {
        ASSERT(pprof_out_emit(p, &head, &first) == 0);
        ASSERT(pprof_out_merge(again, buf_view(&first), NULL) == 0);
        ASSERT(pprof_out_count(again) == pprof_out_count(p));
        ASSERT(pprof_out_emit(again, &head, &second) == 0);
        ASSERT(str_eq(buf_view(&first), buf_view(&second)));
        ASSERT(pprof_out_cut(again, 3) == 0);
    }
    buf_reset(&first);
    buf_reset(&second);
    pprof_out_free(&p);
    pprof_out_free(&again);
    return 0;
}
