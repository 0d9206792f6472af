/* Reading a form, checking everything. */
#include "profile/form.h"

#include <inttypes.h>

#include "base/mem.h"

/* A cursor whose first failure sticks: reads after it give zeros and move nothing. */
struct reader {
    const uint8_t *start, *p, *end;
    struct arena *arena;
    struct err *err;
    struct form_limits max;
    int rc;
};

static void fail(struct reader *r, int code, const char *what)
{
    if (r->rc != 0)
        return;
    r->rc =
        err_set(r->err, code, "append form: %s at offset %zu", what, (size_t)(r->p - r->start));
    r->end = r->p;
}

static size_t left(const struct reader *r)
{
    return (size_t)(r->end - r->p);
}

static uint64_t uv_long(struct reader *r, const char *what)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < 10 && i < left(r); i++) {
        uint8_t b = r->p[i];
        if (i == 9 && b > 1)
            break;
        v |= (uint64_t)(b & 0x7f) << (7 * i);
        if (b < 0x80) {
            if (b == 0 && i > 0)
                break; /* not the shortest form */
            r->p += i + 1;
            return v;
        }
    }
    fail(r, ERR_PARSE, what);
    return 0;
}

enum { QUICK_UV = 8 };

/* A uv of 2 to 8 bytes, where 8 can be read: the end is the clear high bit, then the gaps
 * between groups of 7 bits are closed, without a loop. NULL: longer, or not the shortest form. */
static inline const uint8_t *uv_wide(const uint8_t *p, uint64_t *out)
{
    uint64_t w;
    memcpy(&w, p, sizeof w);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    w = __builtin_bswap64(w);
#endif
    uint64_t stop = ~w & 0x8080808080808080u;
    stop &= 0 - stop; /* of the last byte, which is zero when this is not the shortest form */
    if ((w & (stop - (stop >> 7))) == 0)
        return NULL;
    w &= (stop - 1) & 0x7f7f7f7f7f7f7f7fu;
    w = (w & 0x7f007f007f007f00u) >> 1 | (w & 0x007f007f007f007fu);
    w = (w & 0x3fff00003fff0000u) >> 2 | (w & 0x00003fff00003fffu);
    *out = (w & 0x0fffffff00000000u) >> 4 | (w & 0x0fffffffu);
    return p + ((unsigned)__builtin_ctzll(stop) >> 3) + 1;
}

static inline uint64_t uv(struct reader *r, const char *what)
{
    if (r->p < r->end && *r->p < 0x80)
        return *r->p++;
    uint64_t v;
    const uint8_t *p = left(r) < QUICK_UV ? NULL : uv_wide(r->p, &v);
    if (p == NULL)
        return uv_long(r, what);
    r->p = p;
    return v;
}

/* Entries of large tables are read quickly while none can reach the end: `count` uvs into v,
 * each of 8 bytes at most. False: nothing was read, and the slow way says what is wrong, if
 * anything. */
static inline bool quick(struct reader *r, unsigned count, uint64_t *v)
{
    const uint8_t *p = r->p;
    if (left(r) < count * QUICK_UV)
        return false;
    for (unsigned i = 0; i < count; i++) {
        /* One or two bytes in no order: a guess at a branch would often be wrong. */
        unsigned more = p[0] >> 7, second = p[1];
        if (__builtin_expect((more & ((second >> 7) | (second == 0))) != 0, 0)) {
            p = uv_wide(p, &v[i]);
            if (p == NULL)
                return false;
            continue;
        }
        v[i] = (p[0] & 0x7fu) | ((second << 7) & (0 - more));
        p += 1 + more;
    }
    r->p = p;
    return true;
}

static int64_t zigzag(uint64_t v)
{
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

/* A number below `bound`. */
static inline uint32_t index_below(struct reader *r, uint64_t bound, const char *what)
{
    const uint8_t *at = r->p;
    uint64_t v = uv(r, what);
    if (v < bound)
        return (uint32_t)v;
    r->p = r->rc == 0 ? at : r->p;
    fail(r, ERR_PARSE, what);
    return 0;
}

/* A count of things of at least `each` bytes: never more than the bytes that are left hold. */
static uint32_t count_of(struct reader *r, size_t each, const char *what)
{
    uint64_t n = uv(r, what);
    if (n <= left(r) / each && n < UINT32_MAX)
        return (uint32_t)n;
    fail(r, ERR_PARSE, what);
    return 0;
}

static const uint8_t *bytes_of(struct reader *r, size_t size, const char *what)
{
    if (size > left(r)) {
        fail(r, ERR_PARSE, what);
        return NULL;
    }
    const uint8_t *p = r->p;
    r->p += size;
    return p;
}

static struct str str_of_reader(struct reader *r, const char *what)
{
    uint64_t len = uv(r, what);
    if (len > left(r)) {
        fail(r, ERR_PARSE, what);
        return (struct str){0};
    }
    return str_of(bytes_of(r, (size_t)len, what), (size_t)len);
}

static uint64_t little(const uint8_t *p, unsigned size)
{
    uint64_t v = 0;
    for (unsigned i = 0; p != NULL && i < size; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

/* `count` elements; the reader fails when there is no memory, and the caller must look. */
static void *table(struct reader *r, size_t count, size_t size)
{
    if (r->rc != 0)
        return NULL;
    void *p = arena_alloc(r->arena, (count + 1) * size);
    if (p == NULL)
        fail(r, ERR_NOMEM, "no memory for a table");
    return p;
}

static bool same_lane(const struct form_lane *a, const struct form_lane *b)
{
    if (a->count != b->count || memcmp(a->writer, b->writer, FORM_WRITER_SIZE) != 0)
        return false;
    for (uint32_t i = 0; i < a->count; i++)
        if (!str_eq(a->instances[i], b->instances[i]))
            return false;
    return true;
}

static void read_lanes(struct reader *r, struct form *f)
{
    uint32_t n = count_of(r, FORM_WRITER_SIZE + 2, "count of lanes");
    if (n > r->max.lanes_max)
        fail(r, ERR_LIMIT, "too many lanes");
    struct form_lane *lanes = table(r, n, sizeof *lanes);
    for (uint32_t i = 0; i < n && r->rc == 0; i++) {
        lanes[i].writer = bytes_of(r, FORM_WRITER_SIZE, "writer of a lane");
        lanes[i].count = count_of(r, 1, "count of instances");
        if (lanes[i].count == 0)
            fail(r, ERR_PARSE, "lane without instances");
        struct str *instances = table(r, lanes[i].count, sizeof *instances);
        for (uint32_t k = 0; k < lanes[i].count && r->rc == 0; k++)
            instances[k] = str_of_reader(r, "instance of a lane");
        lanes[i].instances = instances;
        for (uint32_t k = 0; k < i && r->rc == 0; k++)
            if (same_lane(&lanes[i], &lanes[k]))
                fail(r, ERR_PARSE, "the same lane twice");
    }
    f->lanes = lanes;
    f->lane_count = n;
}

static void read_strings(struct reader *r, struct form *f)
{
    uint32_t n = count_of(r, 1, "count of strings");
    struct str *strings = table(r, (size_t)n + 1, sizeof *strings);
    uint64_t sum = 0;
    for (uint32_t i = 1; i <= n && r->rc == 0; i++) {
        uint64_t len = uv(r, "length of a string");
        if (len > left(r) || (sum += len) > left(r))
            fail(r, ERR_PARSE, "length of a string");
        strings[i].len = (size_t)len;
    }
    if (sum > r->max.string_bytes_max)
        fail(r, ERR_LIMIT, "too many bytes of strings");
    if (r->rc != 0 || sum > left(r)) {
        fail(r, ERR_PARSE, "bytes of the strings");
        return;
    }
    strings[0] = (struct str){0};
    for (uint32_t i = 1; i <= n; i++) {
        strings[i].data = (const char *)r->p;
        r->p += strings[i].len;
    }
    f->strings = strings;
    f->string_count = n + 1;
}

static void read_mappings(struct reader *r, struct form *f)
{
    uint32_t n = count_of(r, 6, "count of mappings");
    struct form_mapping *m = table(r, n, sizeof *m);
    for (uint32_t i = 0; i < n && r->rc == 0; i++) {
        m[i].file = index_below(r, f->string_count, "file of a mapping");
        m[i].build_id = index_below(r, f->string_count, "build id of a mapping");
        m[i].start = uv(r, "start of a mapping");
        m[i].limit = uv(r, "limit of a mapping");
        m[i].offset = uv(r, "offset of a mapping");
        m[i].flags = uv(r, "flags of a mapping");
    }
    f->mappings = m;
    f->mapping_count = n;
}

static void read_functions(struct reader *r, struct form *f)
{
    uint32_t n = count_of(r, 4, "count of functions");
    struct form_function *fn = table(r, n, sizeof *fn);
    for (uint32_t i = 0; i < n && r->rc == 0; i++) {
        const uint8_t *at = r->p;
        uint64_t v[4], bound = f->string_count;
        if (quick(r, 4, v) && v[0] < bound && v[1] < bound && v[2] < bound) {
            fn[i] =
                (struct form_function){(uint32_t)v[0], (uint32_t)v[1], (uint32_t)v[2], v[3]};
            continue;
        }
        r->p = at;
        fn[i].name = index_below(r, f->string_count, "name of a function");
        fn[i].system_name = index_below(r, f->string_count, "system name of a function");
        fn[i].file = index_below(r, f->string_count, "file of a function");
        fn[i].start_line = uv(r, "start line of a function");
    }
    f->functions = fn;
    f->function_count = n;
}

/* A location of one line. */
static inline bool quick_location(struct reader *r, uint64_t mappings, uint64_t functions,
                                  struct form_location *l, struct form_line *line)
{
    const uint8_t *at = r->p;
    uint64_t v[5]; /* lines and folded, mapping, address, function, line */
    if (left(r) == 0 || *at >> 1 != 1 || !quick(r, 5, v))
        return false;
    if (v[1] >= mappings || v[3] >= functions) {
        r->p = at;
        return false;
    }
    *l = (struct form_location){
        .line_count = 1, .mapping = (uint32_t)v[1], .folded = (v[0] & 1) != 0, .address = v[2]};
    *line = (struct form_line){(uint32_t)v[3], zigzag(v[4])};
    return true;
}

static void read_locations(struct reader *r, struct form *f)
{
    uint32_t n = count_of(r, 3, "count of locations");
    struct form_location *loc = table(r, n, sizeof *loc);
    /* What is not a location's three bytes can only be lines, of two bytes or more. */
    size_t lines_max = (left(r) - (size_t)n * 3) / 2;
    size_t cap = lines_max < (size_t)n * 2 ? lines_max : (size_t)n * 2;
    struct form_line *lines = table(r, cap, sizeof *lines);
    uint32_t used = 0;
    uint64_t mappings = f->mapping_count == 0 ? 1 : f->mapping_count;
    for (uint32_t i = 0; i < n && r->rc == 0; i++) {
        if (used < cap &&
            quick_location(r, mappings, f->function_count, &loc[i], &lines[used])) {
            loc[i].first_line = used++;
            continue;
        }
        uint64_t head = uv(r, "line count of a location");
        uint64_t count = head >> 1;
        if (count > r->max.lines_max)
            fail(r, ERR_LIMIT, "too many lines in a location");
        loc[i].folded = (head & 1) != 0;
        loc[i].mapping = index_below(r, mappings, "mapping of a location");
        loc[i].address = uv(r, "address of a location");
        if (r->rc == 0 && count > left(r) / 2)
            fail(r, ERR_PARSE, "line count of a location");
        if (r->rc == 0 && used + count > cap) {
            cap = (used + (size_t)count) * 2;
            struct form_line *more = table(r, cap, sizeof *more);
            if (more != NULL)
                memcpy(more, lines, used * sizeof *more);
            lines = more;
        }
        loc[i].first_line = used;
        loc[i].line_count = r->rc == 0 ? (uint32_t)count : 0;
        for (uint64_t k = 0; k < count && r->rc == 0; k++, used++) {
            lines[used].function = index_below(r, f->function_count, "function of a line");
            lines[used].line = zigzag(uv(r, "number of a line"));
        }
    }
    f->locations = loc;
    f->location_count = n;
    f->lines = lines;
    f->line_count = used;
}

/* Level order: a node's parent is in the level before. A parent in the current level opens the
 * next one. */
static void read_nodes(struct reader *r, struct form *f)
{
    uint32_t n = count_of(r, 2, "count of nodes");
    struct form_node *nodes = table(r, (size_t)n + 1, sizeof *nodes);
    if (r->rc != 0)
        return;
    nodes[0] = (struct form_node){0};
    uint32_t above = 0, level = 1, depth = 1;
    for (uint32_t i = 1; i <= n && r->rc == 0; i++) {
        const uint8_t *at = r->p;
        uint64_t v[2]; /* own - parent, location */
        if (!quick(r, 2, v) || v[0] == 0 || v[0] > i || v[1] >= f->location_count) {
            r->p = at;
            v[0] = uv(r, "parent of a node");
            if (v[0] == 0 || v[0] > i)
                fail(r, ERR_PARSE, "parent of a node");
            v[1] = index_below(r, f->location_count, "location of a node");
        }
        uint32_t parent = i - (uint32_t)v[0];
        nodes[i] = (struct form_node){parent, (uint32_t)v[1]};
        if (parent >= level) {
            above = level;
            level = i;
            if (++depth > r->max.depth_max)
                fail(r, ERR_LIMIT, "stacks are too deep");
        } else if (parent < above) {
            fail(r, ERR_PARSE, "nodes are not in level order");
        }
    }
    f->nodes = nodes;
    f->node_count = n + 1;
}

/* Values of one column; *total gets their sum, at most 2^63 - 1. */
static void read_column(struct reader *r, struct form_column *c, uint32_t samples, bool first,
                        uint64_t total_first, uint64_t *total)
{
    const uint8_t *kind = bytes_of(r, 1, "kind of a column");
    if (kind == NULL)
        return;
    if (*kind == 1 && !first) {
        c->proportional = true;
        c->factor = uv(r, "factor of a column");
        if (__builtin_mul_overflow(total_first, c->factor, total) || *total > INT64_MAX ||
            c->factor > INT64_MAX)
            fail(r, ERR_PARSE, "sum of a column");
        return;
    }
    if (*kind != 0) {
        fail(r, ERR_PARSE, "kind of a column");
        return;
    }
    size_t size = (size_t)little(bytes_of(r, 3, "length of a column"), 3);
    const uint8_t *start = bytes_of(r, size, "bytes of a column");
    if (start == NULL)
        return;
    c->bytes = str_of(start, size);
    struct reader in = *r;
    in.p = start;
    in.end = start + size;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < samples && in.rc == 0; i++) {
        uint64_t v = uv(&in, "value of a sample");
        if (v > INT64_MAX || (sum += v) > INT64_MAX)
            fail(&in, ERR_PARSE, "sum of a column");
    }
    if (in.rc == 0 && in.p != in.end)
        fail(&in, ERR_PARSE, "length of a column");
    r->rc = in.rc;
    *total = sum;
}

static void read_spans(struct reader *r, struct form_profile *p)
{
    const uint8_t *start = r->p;
    uint32_t n = count_of(r, 24, "count of spans");
    bytes_of(r, (size_t)n * 24, "spans");
    for (uint32_t i = 0; i < p->samples && r->rc == 0; i++)
        index_below(r, (uint64_t)n + 1, "span of a sample");
    p->spans = str_of(start, (size_t)(r->p - start));
}

static void read_samples(struct reader *r, struct form_profile *p, uint32_t node_count)
{
    uint64_t head = uv(r, "count of samples");
    bool spans = (head & 1) != 0;
    if (head >> 1 > left(r) || head >> 1 > UINT32_MAX - 1) {
        fail(r, ERR_PARSE, "count of samples");
        return;
    }
    p->samples = (uint32_t)(head >> 1);
    uint32_t *nodes = table(r, p->samples, sizeof *nodes);
    int64_t at = 0;
    for (uint32_t i = 0; i < p->samples && r->rc == 0; i++) {
        int64_t step = zigzag(uv(r, "node of a sample"));
        if (step < 0 || step >= (int64_t)node_count || (step == 0 && (i == 0 || !spans)))
            fail(r, ERR_PARSE, "node of a sample");
        at += step;
        if (at >= (int64_t)node_count)
            fail(r, ERR_PARSE, "node of a sample");
        nodes[i] = (uint32_t)at;
    }
    p->nodes = nodes;
    uint64_t first = 0, total = 0;
    for (uint32_t m = 0; m < p->member_count && r->rc == 0; m++) {
        read_column(r, &p->columns[m], p->samples, m == 0, first, &total);
        first = m == 0 ? total : first;
    }
    if (spans)
        read_spans(r, p);
}

static void read_labels(struct reader *r, struct form_profile *p)
{
    p->pair_count = count_of(r, 2, "count of labels");
    struct form_pair *pairs = table(r, p->pair_count, sizeof *pairs);
    for (uint32_t i = 0; i < p->pair_count && r->rc == 0; i++) {
        pairs[i].name = str_of_reader(r, "name of a label");
        pairs[i].value = str_of_reader(r, "value of a label");
        if (i > 0 && str_cmp(pairs[i - 1].name, pairs[i].name) >= 0)
            fail(r, ERR_PARSE, "labels are not sorted");
    }
    p->pairs = pairs;
    p->member_count = count_of(r, 5, "count of members");
    if (p->member_count == 0 || p->member_count > FORM_MEMBERS_MAX)
        fail(r, ERR_PARSE, "count of members");
    struct form_member *members = table(r, p->member_count, sizeof *members);
    for (uint32_t i = 0; i < p->member_count && r->rc == 0; i++) {
        members[i].type = str_of_reader(r, "type of a member");
        members[i].unit = str_of_reader(r, "unit of a member");
        members[i].period_type = str_of_reader(r, "period type of a member");
        members[i].period_unit = str_of_reader(r, "period unit of a member");
        members[i].name = str_of_reader(r, "name of a member");
    }
    p->members = members;
}

static void read_profile(struct reader *r, struct form_profile *p, const struct form *f)
{
    *p = (struct form_profile){0};
    read_labels(r, p);
    uint64_t time = little(bytes_of(r, 8, "time of a profile"), 8);
    if (time > INT64_MAX)
        fail(r, ERR_PARSE, "time of a profile");
    p->time_ns = (int64_t)(time & INT64_MAX);
    p->nonce = (uint32_t)little(bytes_of(r, 4, "nonce of a profile"), 4);
    p->duration_ns = uv(r, "duration of a profile");
    p->period = uv(r, "period of a profile");
    p->lane = index_below(r, f->lane_count, "lane of a profile");
    p->seq = index_below(r, (uint64_t)UINT32_MAX + 1, "seq of a profile");
    if (p->seq == 0)
        fail(r, ERR_PARSE, "seq of a profile");
    if (r->rc == 0)
        read_samples(r, p, f->node_count);
}

static void read_profiles(struct reader *r, struct form *f)
{
    uint32_t n = count_of(r, 24, "count of profiles");
    if (n > r->max.profiles_max)
        fail(r, ERR_LIMIT, "too many profiles");
    struct form_profile *profiles = table(r, n, sizeof *profiles);
    for (uint32_t i = 0; i < n && r->rc == 0; i++)
        read_profile(r, &profiles[i], f);
    f->profiles = profiles;
    f->profile_count = n;
}

static int read_head(struct reader *r)
{
    const uint8_t *version = bytes_of(r, 1, "version");
    if (version == NULL)
        return r->rc;
    if (*version != FORM_VERSION)
        return err_set(r->err, ERR_VERSION, "append form of version %u; this build knows %u",
                       *version, (unsigned)FORM_VERSION);
    uint64_t flags = uv(r, "flags");
    if (flags != 0)
        return err_set(r->err, ERR_VERSION, "append form with unknown flag bits 0x%" PRIx64,
                       flags);
    return r->rc;
}

static struct form_limits with_defaults(const struct form_limits *max)
{
    struct form_limits m = max == NULL ? (struct form_limits){0} : *max;
    m.depth_max = m.depth_max == 0 ? FORM_DEPTH_MAX : m.depth_max;
    m.lines_max = m.lines_max == 0 ? FORM_LINES_MAX : m.lines_max;
    m.lanes_max = m.lanes_max == 0 ? FORM_LANES_MAX : m.lanes_max;
    m.profiles_max = m.profiles_max == 0 ? FORM_PROFILES_MAX : m.profiles_max;
    m.string_bytes_max = m.string_bytes_max == 0 ? 64 << 20 : m.string_bytes_max;
    return m;
}

int form_open(struct form *out, struct str bytes, const struct form_limits *max,
              struct arena *a, struct err *err)
{
    static const uint8_t none;
    const uint8_t *p = bytes.len == 0 ? &none : (const uint8_t *)bytes.data;
    struct reader r = {.start = p,
                       .p = p,
                       .end = p + bytes.len,
                       .arena = a,
                       .err = err,
                       .max = with_defaults(max)};
    *out = (struct form){0};
    int rc = read_head(&r);
    if (rc != 0)
        return rc;
    void (*const steps[])(struct reader *, struct form *) = {
        read_lanes,     read_strings, read_mappings, read_functions,
        read_locations, read_nodes,   read_profiles,
    };
    for (size_t i = 0; i < sizeof steps / sizeof *steps && r.rc == 0; i++)
        steps[i](&r, out);
    if (r.rc == 0 && r.p != r.end)
        fail(&r, ERR_PARSE, "bytes after the end");
    return r.rc;
}
