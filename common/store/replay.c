/* Applying records, and the rules of a log's end. */
#include "store/replay.h"

#include <inttypes.h>

#include "base/mem.h"
#include "store/record.h"
#include "store/row.h"
#include "wire/compress.h"
#include "wire/uv.h"

enum { ENDED_MAX = 1 << 16 };

/* --- DEFINE ----------------------------------------------------------------------------------- */

static int read_id(struct str *in, uint32_t count, uint32_t *out)
{
    return uv_read_u32(in, out) != 0 || *out >= count ? ERR_CORRUPT : 0;
}

/* Ids count on: what is defined must be new, and the next. */
static int fresh(int rc, const bool *made)
{
    return rc != 0 ? rc : *made ? 0 : ERR_CORRUPT;
}

static int define_tenant(struct replay *r, struct str in)
{
    struct str name;
    struct head_tenant *t;
    bool made = false;
    if (uv_read_str(&in, &name) != 0 || in.len != 0)
        return ERR_CORRUPT;
    return fresh(head_tenant(r->head, name, &t, &made), &made);
}

static int define_partition(struct replay *r, struct str in)
{
    uint32_t tenant;
    struct str service;
    struct head_partition *p;
    bool made = false;
    if (read_id(&in, head_tenant_count(r->head), &tenant) != 0 ||
        uv_read_str(&in, &service) != 0 || in.len != 0)
        return ERR_CORRUPT;
    return fresh(head_partition(r->head, head_tenant_at(r->head, tenant), service, &p, &made),
                 &made);
}

static int read_members(struct str *in, struct form_member *members, uint32_t *count)
{
    if (uv_read_u32(in, count) != 0 || *count == 0 || *count > FORM_MEMBERS_MAX)
        return ERR_CORRUPT;
    for (uint32_t i = 0; i < *count; i++) {
        struct form_member *m = &members[i];
        if (uv_read_str(in, &m->type) != 0 || uv_read_str(in, &m->unit) != 0 ||
            uv_read_str(in, &m->period_type) != 0 || uv_read_str(in, &m->period_unit) != 0 ||
            uv_read_str(in, &m->name) != 0)
            return ERR_CORRUPT;
    }
    return 0;
}

static int define_stream(struct replay *r, struct str in)
{
    uint32_t partition, member_count, pair_count;
    struct form_member members[FORM_MEMBERS_MAX];
    if (read_id(&in, head_partition_count(r->head), &partition) != 0 ||
        read_members(&in, members, &member_count) != 0 || uv_read_u32(&in, &pair_count) != 0 ||
        pair_count > in.len / 2)
        return ERR_CORRUPT;
    struct form_pair *pairs = mem_calloc((size_t)pair_count + 1, sizeof *pairs);
    if (pairs == NULL)
        return ERR_NOMEM;
    int rc = 0;
    for (uint32_t i = 0; i < pair_count && rc == 0; i++)
        if (uv_read_str(&in, &pairs[i].name) != 0 || uv_read_str(&in, &pairs[i].value) != 0)
            rc = ERR_CORRUPT;
    struct head_stream *s;
    if (rc == 0 && in.len != 0)
        rc = ERR_CORRUPT;
    if (rc == 0)
        rc = head_add_stream(r->head, head_partition_at(r->head, partition), members,
                             member_count, pairs, pair_count, &s);
    mem_free(pairs);
    return rc;
}

static int define_set(struct replay *r, struct str in)
{
    uint32_t n, id;
    if (uv_read_u32(&in, &n) != 0 || n == 0 || n > in.len)
        return ERR_CORRUPT;
    struct str *instances = mem_calloc(n, sizeof *instances);
    if (instances == NULL)
        return ERR_NOMEM;
    int rc = 0;
    for (uint32_t i = 0; i < n && rc == 0; i++)
        rc = uv_read_str(&in, &instances[i]) != 0 ? ERR_CORRUPT : 0;
    bool made = false;
    if (rc == 0 && in.len != 0)
        rc = ERR_CORRUPT;
    if (rc == 0)
        rc = fresh(head_set(r->head, instances, n, &id, &made), &made);
    mem_free(instances);
    return rc;
}

static int define_lane(struct replay *r, struct str in)
{
    struct str writer;
    uint32_t set, id, index;
    bool made = false;
    if (raw_read(&in, WRITER_SIZE, &writer) != 0 ||
        read_id(&in, head_set_count(r->head), &set) != 0 || in.len != 0)
        return ERR_CORRUPT;
    int rc = fresh(head_lane(r->head, (const uint8_t *)writer.data, set, &id, &made), &made);
    if (rc == 0)
        rc = vector_lane(r->rows, head_lane_at(r->head, id)->name, &index);
    return rc == ERR_INVAL ? ERR_CORRUPT : rc;
}

static int define(struct replay *r, struct str in)
{
    uint8_t what;
    uint32_t id;
    if (u8_read(&in, &what) != 0 || uv_read_u32(&in, &id) != 0)
        return ERR_CORRUPT;
    switch (what) {
    case DEFINE_TENANT:
        return id != head_tenant_count(r->head) ? ERR_CORRUPT : define_tenant(r, in);
    case DEFINE_PARTITION:
        return id != head_partition_count(r->head) ? ERR_CORRUPT : define_partition(r, in);
    case DEFINE_STREAM:
        return id != head_stream_count(r->head) ? ERR_CORRUPT : define_stream(r, in);
    case DEFINE_SET:
        return id != head_set_count(r->head) ? ERR_CORRUPT : define_set(r, in);
    case DEFINE_LANE:
        return id != head_lane_count(r->head) ? ERR_CORRUPT : define_lane(r, in);
    default:
        return ERR_VERSION;
    }
}

/* --- PUSH ------------------------------------------------------------------------------------- */

static int load_symbols(struct part *part, struct str *in)
{
    uint64_t raw;
    uint8_t codec;
    struct str stored;
    if (uv_read(in, &raw) != 0)
        return ERR_CORRUPT;
    if (raw == 0)
        return 0;
    if (u8_read(in, &codec) != 0 || uv_read_str(in, &stored) != 0)
        return ERR_CORRUPT;
    if (codec > 1)
        return ERR_VERSION;
    struct buf unpacked = {0};
    int rc = 0;
    if (codec == 1 && raw > WAL_SPAN)
        rc = ERR_CORRUPT;
    if (rc == 0 && codec == 1) {
        rc = lz4_unpack(stored, (size_t)raw, &unpacked);
        rc = rc == ERR_PARSE ? ERR_CORRUPT : rc;
        stored = buf_view(&unpacked);
    }
    if (rc == 0 && stored.len != raw)
        rc = ERR_CORRUPT;
    if (rc == 0)
        rc = part_load_symbols(part, &stored);
    if (rc == 0 && stored.len != 0)
        rc = ERR_CORRUPT;
    buf_reset(&unpacked);
    return rc;
}

static int read_totals(const struct row *row, uint32_t members, uint64_t *totals)
{
    int rc = row_total(row, 0, &totals[0]);
    for (uint32_t m = 1; m < members && rc == 0; m++) {
        const struct row_column *c = &row->columns[m];
        if (!c->proportional)
            rc = row_total(row, m, &totals[m]);
        else if (__builtin_mul_overflow(totals[0], c->factor, &totals[m]) ||
                 totals[m] > INT64_MAX)
            rc = ERR_CORRUPT;
    }
    return rc;
}

static int load_row(struct replay *r, const struct head_partition *p, struct str *in, wal_pos at,
                    struct wal_dot *dot)
{
    struct row row;
    uint64_t totals[FORM_MEMBERS_MAX];
    const char *start = in->data;
    if (row_read_head(in, &row) != 0 || row.stream >= head_stream_count(r->head) ||
        row.lane >= head_lane_count(r->head))
        return ERR_CORRUPT;
    struct head_stream *s = head_stream_at(r->head, row.stream);
    if (s->partition != p || row_read_body(in, s->member_count, &row) != 0 ||
        read_totals(&row, s->member_count, totals) != 0)
        return ERR_CORRUPT;
    int rc = head_use_lane(r->head, p->tenant, row.lane);
    if (rc == 0)
        rc = head_reserve_entry(s);
    if (rc != 0)
        return rc;
    struct head_entry e = {.time_ns = row.time_ns,
                           .pos = at,
                           .length = (uint32_t)(in->data - start),
                           .samples = row.samples,
                           .lane = row.lane,
                           .seq = row.seq,
                           .nonce = row.nonce};
    head_add_entry(s, &e, totals);
    *dot = (struct wal_dot){row.lane, row.seq};
    r->samples += row.samples;
    return 0;
}

static int push(struct replay *r, struct str in, const char *body, wal_pos pos)
{
    uint32_t partition, rows;
    if (read_id(&in, head_partition_count(r->head), &partition) != 0)
        return ERR_CORRUPT;
    struct head_partition *p = head_partition_at(r->head, partition);
    int rc = load_symbols(p->part, &in);
    if (rc != 0)
        return rc;
    if (uv_read_u32(&in, &rows) != 0 || rows > in.len / 16)
        return ERR_CORRUPT;
    struct wal_dot *dots = mem_calloc((size_t)rows + 1, sizeof *dots);
    if (dots == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < rows && rc == 0; i++)
        rc = load_row(r, p, &in, pos + (wal_pos)(in.data - body), &dots[i]);
    if (rc == 0 && in.len != 0)
        rc = ERR_CORRUPT;
    for (uint32_t i = 0; i < rows && rc == 0; i++)
        rc = vector_add(r->rows, dots[i].lane, dots[i].seq, dots[i].seq);
    mem_free(dots);
    r->profiles += rc == 0 ? rows : 0;
    return rc;
}

/* --- the others ------------------------------------------------------------------------------- */

static int ended(struct replay *r, struct str in)
{
    struct replay_ended e;
    if (u64le_read(&in, &e.generation) != 0 || u64le_read(&in, &e.pos) != 0 || in.len != 0 ||
        r->ended_count >= ENDED_MAX)
        return ERR_CORRUPT;
    struct replay_ended *all =
        mem_realloc_array(r->ended, r->ended_count + 1, sizeof *r->ended);
    if (all == NULL)
        return ERR_NOMEM;
    all[r->ended_count++] = e;
    r->ended = all;
    return 0;
}

static int cover(struct replay *r, struct str in, wal_pos pos)
{
    uint32_t tenant, lanes;
    if (read_id(&in, head_tenant_count(r->head), &tenant) != 0 || uv_read_u32(&in, &lanes) != 0 ||
        lanes > in.len / 2)
        return ERR_CORRUPT;
    int rc = 0;
    for (uint32_t i = 0; i < lanes && rc == 0; i++) {
        uint32_t lane;
        struct seqset seqs = {0};
        if (read_id(&in, head_lane_count(r->head), &lane) != 0)
            return ERR_CORRUPT;
        rc = seqset_decode(&seqs, &in, UINT32_MAX);
        rc = rc == ERR_PARSE || rc == ERR_LIMIT ? ERR_CORRUPT : rc;
        if (rc == 0)
            rc = head_add_cover(r->head, head_tenant_at(r->head, tenant), pos, lane, &seqs);
        seqset_reset(&seqs);
    }
    return rc == 0 && in.len != 0 ? ERR_CORRUPT : rc;
}

static int alias(struct replay *r, struct str in, wal_pos pos)
{
    uint32_t n;
    if (uv_read_u32(&in, &n) != 0 || n > in.len / 13)
        return ERR_CORRUPT;
    for (uint32_t i = 0; i < n; i++) {
        struct head_alias a = {.pos = pos};
        uint32_t tenant, lanes = head_lane_count(r->head);
        uint64_t time;
        if (read_id(&in, head_tenant_count(r->head), &tenant) != 0 ||
            u64le_read(&in, &time) != 0 || time > INT64_MAX ||
            read_id(&in, lanes, &a.repeat_lane) != 0 || uv_read_u32(&in, &a.repeat_seq) != 0 ||
            read_id(&in, lanes, &a.row_lane) != 0 || uv_read_u32(&in, &a.row_seq) != 0 ||
            a.repeat_seq == 0 || a.row_seq == 0)
            return ERR_CORRUPT;
        a.time_ns = (int64_t)time;
        struct head_tenant *t = head_tenant_at(r->head, tenant);
        int rc = head_reserve_aliases(t, 1);
        if (rc != 0)
            return rc;
        head_add_alias(t, &a);
    }
    return in.len != 0 ? ERR_CORRUPT : 0;
}

int replay_record(struct replay *r, struct str body, wal_pos pos)
{
    struct str in = body;
    uint8_t kind;
    if (u8_read(&in, &kind) != 0)
        return ERR_CORRUPT;
    switch (kind) {
    case RECORD_DEFINE: return define(r, in);
    case RECORD_PUSH: return push(r, in, body.data, pos);
    case RECORD_SEAL: r->sealed = true; return 0;
    case RECORD_ENDED: return ended(r, in);
    case RECORD_COVER: return cover(r, in, pos);
    case RECORD_ALIAS: return alias(r, in, pos);
    default: return ERR_VERSION;
    }
}

/* --- the end of a log ------------------------------------------------------------------------- */

static struct wal_cursor cursor_of(const struct replay_segment *s, uint32_t salt)
{
    return (struct wal_cursor){
        .base = s->base, .size = s->size, .salt = salt, .at = WAL_HEADER_SIZE};
}

static bool is_zero(const struct replay_segment *s, uint64_t from)
{
    struct wal_cursor c = cursor_of(s, 0);
    c.at = from;
    return from >= s->size || wal_is_zero_from(&c);
}

/* A valid record stands in one of these segments. */
static bool any_record(const struct replay *r, const struct replay_segment *segments,
                       uint32_t from, uint32_t count)
{
    for (uint32_t i = from; i < count; i++) {
        struct wal_header h;
        if (wal_header_read(str_of(segments[i].base, segments[i].size), &h) != 0 ||
            h.generation != r->generation || h.segment != i)
            continue;
        struct wal_cursor c = cursor_of(&segments[i], h.salt);
        struct str body;
        if (wal_read(&c, &body) == 1)
            return true;
        c.at = WAL_HEADER_SIZE - 8;
        if (wal_has_later(&c))
            return true;
    }
    return false;
}

static void damage(struct replay *r, const char *why)
{
    r->verdict = REPLAY_DAMAGE;
    r->why = why;
}

/* The cursor stands at a bad place or at zeros and nothing of segment i can be read from there on:
 * is that how a crash leaves a log? */
static void judge(struct replay *r, const struct wal_cursor *c,
                  const struct replay_segment *segments, uint32_t i, uint32_t count)
{
    if (wal_has_later(c) || any_record(r, segments, i + 1, count)) {
        damage(r, "a record fails its checksum or is missing before others");
        return;
    }
    if (!wal_is_zero_from(c)) {
        r->verdict = REPLAY_TORN;
        r->torn_bytes = c->size - c->at;
    }
}

/* Replay one segment: 1 = go on with the next, 0 = the log ends here, < 0 failed. */
static int run_segment(struct replay *r, struct wal_cursor *c, uint32_t i, struct err *err)
{
    struct str body;
    for (;;) {
        uint64_t start = c->at;
        if (wal_pos_of(i, start) >= r->limit)
            return 0;
        int rc = wal_read(c, &body);
        if (rc == 0)
            return 1;
        bool whole = rc == 1;
        if (whole)
            rc = replay_record(r, body, wal_pos_of(i, c->body_at));
        if (rc == ERR_CORRUPT) {
            c->at = start;
            if (whole) /* no crash leaves that */
                damage(r, "a record whose checksum fits cannot be read");
            return 0;
        }
        if (rc == ERR_VERSION)
            return err_set(err, rc,
                           "log of generation %016" PRIx64 ", segment %08x, offset %" PRIu64
                           ": a record of a newer version",
                           r->generation, i, start);
        if (rc != 0)
            return err_set(err, rc, "replaying generation %016" PRIx64, r->generation);
        r->records++;
        r->bytes += c->at - start;
        r->end = wal_pos_of(i, c->at);
    }
}

/* The header of segment i, or how a missing one is to be taken: 1 = read it, 0 = the log ends. */
static int open_segment(struct replay *r, const struct replay_segment *segments, uint32_t i,
                        uint32_t count, struct wal_header *h, struct err *err)
{
    const struct replay_segment *s = &segments[i];
    int rc = wal_header_read(str_of(s->base, s->size), h);
    if (rc == ERR_VERSION)
        return err_set(err, rc,
                       "log of generation %016" PRIx64 ", segment %08x: a newer version",
                       r->generation, i);
    if (rc == 0 && h->generation == r->generation && h->segment == i)
        return 1;
    if (r->limit != WAL_POS_NONE && wal_pos_of(i, WAL_HEADER_SIZE) >= r->limit)
        return 0;
    bool half_made = rc != 0 && i + 1 == count && is_zero(s, WAL_HEADER_SIZE);
    if (!half_made)
        damage(r, "the header of a segment is bad");
    return 0;
}

int replay_run(struct replay *r, const struct replay_segment *segments, uint32_t count,
               struct err *err)
{
    r->verdict = REPLAY_CLEAN;
    r->end = wal_pos_of(0, WAL_HEADER_SIZE);
    for (uint32_t i = 0; i < count; i++) {
        struct wal_header h;
        int rc = open_segment(r, segments, i, count, &h, err);
        if (rc <= 0)
            return rc;
        struct wal_cursor c = cursor_of(&segments[i], h.salt);
        r->lax = r->lax || (h.flags & WAL_LAX) != 0;
        uint64_t before = r->records;
        rc = run_segment(r, &c, i, err);
        if (rc < 0)
            return rc;
        if (i == 0 || r->records > before)
            r->used_segments = i + 1;
        if (r->verdict == REPLAY_DAMAGE)
            return 0;
        if (r->limit != WAL_POS_NONE) {
            if (wal_pos_of(i, c.at) >= r->limit)
                return 0;
            if (rc == 0 || i + 1 == count) {
                damage(r, "it ends before the place up to which it was synced");
                return 0;
            }
            continue;
        }
        if (rc == 0 || !any_record(r, segments, i + 1, count)) {
            judge(r, &c, segments, i, count);
            return 0;
        }
        if (wal_has_later(&c)) {
            damage(r, "a record is missing before others");
            return 0;
        }
    }
    return 0;
}

void replay_reset(struct replay *r)
{
    mem_free(r->ended);
    r->ended = NULL;
    r->ended_count = 0;
}
