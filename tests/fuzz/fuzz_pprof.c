/* Any bytes as a pprof: read, then every index that was let through is used. */
#include <stdlib.h>

#include "base/mem.h"
#include "profile/pprof.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile uint64_t sum; /* so that the reads stay */

static void touch(const struct pprof *p)
{
    for (uint32_t i = 0; i < p->sample_count; i++) {
        const struct pprof_sample_row *s = &p->samples[i];
        if (s->first_frame + s->frame_count > p->frame_count ||
            s->first_label + s->label_count > p->label_count)
            abort();
        for (uint32_t k = 0; k < s->frame_count; k++) {
            uint32_t at = p->frames[s->first_frame + k];
            sum += at == PPROF_NONE ? 0 : p->locations[at].address;
        }
        for (uint32_t t = 0; p->odd_sample == PPROF_NONE && t < p->type_count; t++)
            sum += (uint64_t)p->values[(size_t)i * p->type_count + t];
    }
    for (uint32_t i = 0; i < p->location_count; i++) {
        const struct pprof_loc_row *l = &p->locations[i];
        if (l->first_line + l->line_count > p->line_count)
            abort();
        sum += l->mapping == PPROF_NONE ? 0 : p->mappings[l->mapping].start;
        for (uint32_t k = 0; k < l->line_count; k++) {
            uint32_t f = p->lines[l->first_line + k].function;
            sum += f == PPROF_NONE ? 0 : p->functions[f].id;
        }
    }
    for (uint32_t i = 0; i < p->string_count; i++)
        sum += p->strings[i].len == 0 ? 0 : (uint8_t)p->strings[i].data[p->strings[i].len - 1];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = NULL;
    struct pprof p;
    struct err err = {0};
    if (arena_init(&a, 0, NULL) != 0)
        return 0;
    int rc = pprof_decode(&p, str_of(data, size), PPROF_FIX_FUNCTION_IDS, a, &err);
    if (rc == 0)
        touch(&p);
    else if (err.code != rc || err.msg[0] == '\0')
        abort();
    arena_free(&a);
    return 0;
}
