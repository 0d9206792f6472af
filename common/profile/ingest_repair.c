/* Go's runtime keeps the 32 frames of an allocation's stack that are nearest to the leaf (128
 * since Go 1.23), and 64 of a processor sample's. A stack that was cut there begins somewhere
 * in the middle of the program and stands in a graph beside the callers it belongs under.
 *
 * What was cut is guessed from stacks that were cut less: when the WINDOW frames at one stack's
 * root stand in another one, up to SHIFT_MAX frames further from the root, then the frames that
 * the other one has below them are put below the first one's too. The other one may itself be
 * completed from a third, and so on. Stacks with the same SUFFIX frames at the root are one
 * group, completed alike. The figures and the choice of profiles are Pyroscope's. */
#include "profile/ingest_repair.h"

#include "base/mem.h"
#include "profile/form.h"
#include "profile/pprof.h"

enum {
    WINDOW = 16,
    SHIFT_MAX = 8,
    SUFFIX = WINDOW + SHIFT_MAX, /* shorter stacks are whole */
    HEAP_DEPTH = 32, /* what the runtime keeps; with inlined calls up to SLACK less */
    CPU_DEPTH = 64,
    SLACK = 4,
    STEPS_MAX = 56, /* of completion; a profile with more is deep recursion, not cut stacks */
};

/* What all repaired stacks together may hold: a profile's frames, once more and this. */
#define FRAMES_MAX ((uint64_t)1 << 22)

/* A run of frames by where it begins in pprof.frames; the slot is free while group is 0. */
struct slot {
    uint32_t at;
    uint32_t group; /* index + 1 */
    uint32_t shift; /* how far from that group's root */
};

struct table {
    const uint32_t *frames;
    uint32_t length; /* of each run */
    uint32_t mask;
    struct slot *slots;
};

struct group {
    uint32_t root;  /* behind its first stack's last frame, in pprof.frames */
    uint32_t from;  /* the group that it is completed from, index + 1; 0 for none */
    uint32_t shift; /* by that many frames */
    uint32_t missing;
};

struct repair {
    struct pprof *p;
    const uint32_t *samples;
    uint32_t sample_count;
    struct arena *arena;
    uint32_t *group_of; /* per place in samples: index + 1; 0 for short stacks */
    struct group *groups;
    uint32_t group_count;
};

static bool has_type(const struct pprof *p, struct str type)
{
    for (uint32_t i = 0; i < p->type_count; i++)
        if (str_eq(p->strings[p->types[i].type], type))
            return true;
    return false;
}

/* Whether the profile is of a kind that is cut, and some stack is as deep as a cut one. A heap
 * profile with a deeper one comes from a runtime that keeps four times as much. */
static bool may_be_cut(const struct pprof *p)
{
    bool heap = has_type(p, STR("alloc_objects")) || has_type(p, STR("alloc_space")) ||
                has_type(p, STR("inuse_objects")) || has_type(p, STR("inuse_space"));
    uint32_t deepest = 0;
    for (uint32_t i = 0; i < p->sample_count; i++)
        if (p->samples[i].frame_count > deepest)
            deepest = p->samples[i].frame_count;
    if (heap)
        return deepest >= HEAP_DEPTH - SLACK && deepest <= HEAP_DEPTH;
    return has_type(p, STR("cpu")) && deepest >= CPU_DEPTH - SLACK;
}

static int make_table(struct table *t, const struct repair *r, uint32_t length, uint64_t runs)
{
    uint64_t count = 16;
    while (count < runs * 2)
        count *= 2;
    if (count > (uint64_t)1 << 31)
        return ERR_NOMEM;
    *t = (struct table){.frames = r->p->frames, .length = length, .mask = (uint32_t)count - 1};
    t->slots = arena_calloc(r->arena, count, sizeof *t->slots);
    return t->slots == NULL ? ERR_NOMEM : 0;
}

/* The slot of the run that begins at `at`, or the free one where it belongs. */
static struct slot *find(const struct table *t, uint32_t at)
{
    size_t size = sizeof *t->frames * t->length;
    uint32_t i = (uint32_t)str_hash(str_of(t->frames + at, size)) & t->mask;
    while (t->slots[i].group != 0 &&
           memcmp(t->frames + t->slots[i].at, t->frames + at, size) != 0)
        i = (i + 1) & t->mask;
    return &t->slots[i];
}

/* Groups in the order of their first stacks, so that equal profiles are repaired equally. */
static int make_groups(struct repair *r)
{
    struct table suffixes;
    if (make_table(&suffixes, r, SUFFIX, r->sample_count) != 0)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < r->sample_count; i++) {
        const struct pprof_sample_row *row = &r->p->samples[r->samples[i]];
        if (row->frame_count < SUFFIX)
            continue;
        uint32_t root = row->first_frame + row->frame_count;
        struct slot *s = find(&suffixes, root - SUFFIX);
        if (s->group == 0) {
            r->groups[r->group_count++] = (struct group){.root = root};
            *s = (struct slot){.at = root - SUFFIX, .group = r->group_count};
        }
        r->group_of[i] = s->group;
    }
    return 0;
}

/* For each group the one that shows most of what is below its root. */
static int link_groups(struct repair *r)
{
    struct table windows;
    if (make_table(&windows, r, WINDOW, (uint64_t)r->group_count * SHIFT_MAX) != 0)
        return ERR_NOMEM;
    for (uint32_t g = 0; g < r->group_count; g++) {
        for (uint32_t shift = 1; shift <= SHIFT_MAX; shift++) {
            uint32_t at = r->groups[g].root - shift - WINDOW;
            struct slot *s = find(&windows, at);
            if (s->group == 0 || shift > s->shift)
                *s = (struct slot){at, g + 1, shift};
        }
    }
    for (uint32_t g = 0; g < r->group_count; g++) {
        const struct slot *s = find(&windows, r->groups[g].root - WINDOW);
        if (s->group != 0 && s->group != g + 1) {
            r->groups[g].from = s->group;
            r->groups[g].shift = s->shift;
        }
    }
    return 0;
}

/* How much each group lacks. False: stacks go round in circles, nothing can be said. */
static bool measure(struct repair *r)
{
    for (uint32_t g = 0; g < r->group_count; g++) {
        uint32_t steps = 0, missing = 0;
        for (const struct group *at = &r->groups[g]; at->from != 0;
             at = &r->groups[at->from - 1]) {
            missing += at->shift;
            if (++steps == STEPS_MAX)
                return false;
        }
        r->groups[g].missing = missing;
    }
    return true;
}

/* The group's missing frames to `out`, the outermost last. */
static void put_missing(const struct repair *r, const struct group *g, uint32_t *out)
{
    for (; g->from != 0; g = &r->groups[g->from - 1]) {
        uint32_t root = r->groups[g->from - 1].root;
        memcpy(out, r->p->frames + root - g->shift, sizeof *out * g->shift);
        out += g->shift;
    }
}

/* What the place in samples lacks. A stack that no form can hold is left as it is, since it
 * would lose frames at the leaf. */
static uint32_t missing_of(const struct repair *r, uint32_t i)
{
    uint32_t missing = r->group_of[i] == 0 ? 0 : r->groups[r->group_of[i] - 1].missing;
    uint32_t depth = r->p->samples[r->samples[i]].frame_count;
    return depth + missing <= FORM_DEPTH_MAX ? missing : 0;
}

/* Repaired stacks stand behind the others in a new array of frames. */
static int rewrite(struct repair *r)
{
    struct pprof *p = r->p;
    uint64_t added = 0;
    for (uint32_t i = 0; i < r->sample_count; i++)
        if (missing_of(r, i) > 0)
            added += p->samples[r->samples[i]].frame_count + missing_of(r, i);
    if (added == 0 || added > p->frame_count + FRAMES_MAX ||
        added + p->frame_count > UINT32_MAX)
        return 0;
    uint32_t *frames = arena_alloc(r->arena, sizeof *frames * (p->frame_count + added));
    if (frames == NULL)
        return ERR_NOMEM;
    memcpy(frames, p->frames, sizeof *frames * p->frame_count);
    uint32_t end = p->frame_count;
    for (uint32_t i = 0; i < r->sample_count; i++) {
        struct pprof_sample_row *row = &p->samples[r->samples[i]];
        uint32_t missing = missing_of(r, i);
        if (missing == 0)
            continue;
        memcpy(frames + end, p->frames + row->first_frame, sizeof *frames * row->frame_count);
        put_missing(r, &r->groups[r->group_of[i] - 1], frames + end + row->frame_count);
        row->first_frame = end;
        row->frame_count += missing;
        end += row->frame_count;
    }
    p->frames = frames;
    p->frame_count = end;
    return 0;
}

int ingest_repair(struct pprof *p, const uint32_t *samples, uint32_t count, struct arena *a)
{
    struct repair r = {.p = p, .samples = samples, .sample_count = count, .arena = a};
    if (count < 2 || !may_be_cut(p))
        return 0;
    r.group_of = arena_calloc(a, count, sizeof *r.group_of);
    r.groups = arena_calloc(a, count, sizeof *r.groups);
    if (r.group_of == NULL || r.groups == NULL || make_groups(&r) != 0)
        return ERR_NOMEM;
    if (r.group_count < 2)
        return 0;
    if (link_groups(&r) != 0)
        return ERR_NOMEM;
    return measure(&r) ? rewrite(&r) : 0;
}
