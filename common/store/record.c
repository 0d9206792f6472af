/* Bodies of records. */
#include "store/record.h"

#include "wire/compress.h"
#include "wire/uv.h"

static void begin(enum record_what what, uint32_t id, struct buf *out)
{
    buf_u8(out, RECORD_DEFINE);
    buf_u8(out, (uint8_t)what);
    buf_varint(out, id);
}

void record_tenant(const struct head_tenant *t, struct buf *out)
{
    begin(DEFINE_TENANT, t->id, out);
    uv_put_str(out, t->name);
}

void record_partition(const struct head_partition *p, struct buf *out)
{
    begin(DEFINE_PARTITION, p->id, out);
    buf_varint(out, p->tenant->id);
    uv_put_str(out, p->service);
}

void record_stream(const struct head_stream *s, struct buf *out)
{
    begin(DEFINE_STREAM, s->id, out);
    buf_varint(out, s->partition->id);
    buf_varint(out, s->member_count);
    for (uint32_t i = 0; i < s->member_count; i++) {
        const struct form_member *m = &s->members[i];
        const struct str parts[] = {m->type, m->unit, m->period_type, m->period_unit, m->name};
        for (unsigned k = 0; k < 5; k++)
            uv_put_str(out, parts[k]);
    }
    buf_varint(out, s->pair_count);
    for (uint32_t i = 0; i < s->pair_count; i++) {
        uv_put_str(out, s->pairs[i].name);
        uv_put_str(out, s->pairs[i].value);
    }
}

void record_set(const struct head *h, uint32_t id, struct buf *out)
{
    uint32_t n;
    const struct str *instances = head_set_at(h, id, &n);
    begin(DEFINE_SET, id, out);
    buf_varint(out, n);
    for (uint32_t i = 0; i < n; i++)
        uv_put_str(out, instances[i]);
}

void record_lane(const struct head *h, uint32_t id, struct buf *out)
{
    const struct head_lane *l = head_lane_at(h, id);
    begin(DEFINE_LANE, id, out);
    buf_put(out, l->writer, sizeof l->writer);
    buf_varint(out, l->set);
}

void record_push(uint32_t partition, struct str symbols, uint32_t rows, struct buf *out)
{
    buf_u8(out, RECORD_PUSH);
    buf_varint(out, partition);
    buf_varint(out, symbols.len);
    if (symbols.len > 0) {
        struct buf packed = {0};
        if (symbols.len > RECORD_PACK_FROM)
            (void)lz4_pack(symbols, &packed);
        bool smaller = packed.error == 0 && packed.size > 0 && packed.size < symbols.len;
        struct str stored = smaller ? buf_view(&packed) : symbols;
        buf_u8(out, smaller ? 1 : 0);
        uv_put_str(out, stored);
        buf_reset(&packed);
    }
    buf_varint(out, rows);
}

void record_seal(const struct head *h, uint64_t records, uint64_t profiles, struct buf *out)
{
    uint32_t partitions = head_partition_count(h);
    buf_u8(out, RECORD_SEAL);
    buf_u64le(out, records);
    buf_u64le(out, profiles);
    buf_varint(out, partitions);
    for (uint32_t i = 0; i < partitions; i++) {
        struct part_counts c = part_counts(head_partition_at(h, i)->part);
        buf_varint(out, c.strings);
        buf_varint(out, c.functions);
        buf_varint(out, c.locations);
        buf_varint(out, c.nodes);
    }
}

void record_ended(uint64_t generation, wal_pos pos, struct buf *out)
{
    buf_u8(out, RECORD_ENDED);
    buf_u64le(out, generation);
    buf_u64le(out, pos);
}

void record_cover(uint32_t tenant, uint32_t lanes, struct buf *out)
{
    buf_u8(out, RECORD_COVER);
    buf_varint(out, tenant);
    buf_varint(out, lanes);
}

void record_cover_lane(uint32_t lane, const struct seqset *seqs, struct buf *out)
{
    buf_varint(out, lane);
    seqset_encode(seqs, out);
}

void record_alias(uint32_t n, struct buf *out)
{
    buf_u8(out, RECORD_ALIAS);
    buf_varint(out, n);
}

void record_alias_entry(uint32_t tenant, const struct head_alias *a, struct buf *out)
{
    buf_varint(out, tenant);
    buf_u64le(out, (uint64_t)a->time_ns);
    buf_varint(out, a->repeat_lane);
    buf_varint(out, a->repeat_seq);
    buf_varint(out, a->row_lane);
    buf_varint(out, a->row_seq);
}
