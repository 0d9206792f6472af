/* gossip/page.c - the cluster and its values, written out. */
#include "gossip/page.h"

#include "base/err.h"
#include "base/mem.h"
#include "gossip/core.h"
#include "wire/json.h"

/* RFC 3339 in UTC with milliseconds; Go's zero time when there is none. */
static void put_time(struct json *j, wall_ms ms)
{
    char text[40];
    if (ms <= 0) {
        json_c(j, "0001-01-01T00:00:00Z");
        return;
    }
    int64_t days = ms / 86400000, rest = ms % 86400000;
    /* Civil date of a day number: Howard Hinnant, "chrono-compatible date algorithms". */
    int64_t z = days + 719468, era = z / 146097, doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    int64_t day = doy - (153 * mp + 2) / 5 + 1, month = mp < 10 ? mp + 3 : mp - 9;
    int64_t year = yoe + era * 400 + (month <= 2 ? 1 : 0);
    struct buf b = {0};
    buf_printf(&b, "%04lld-%02lld-%02lldT%02lld:%02lld:%02lld.%03lldZ", (long long)year,
               (long long)month, (long long)day, (long long)(rest / 3600000),
               (long long)(rest / 60000 % 60), (long long)(rest / 1000 % 60),
               (long long)(rest % 1000));
    struct str s = str_head(buf_view(&b), sizeof text);
    json_str(j, s);
    if (b.error != 0)
        j->out->error = b.error;
    buf_reset(&b);
}

/* Alive and suspected members, sorted by name; *count of them. NULL: no memory. */
static const struct member **sorted_members(const struct members *m, size_t *count)
{
    const struct member **list = mem_calloc(members_count(m) + 1, sizeof(struct member *));
    *count = 0;
    for (size_t i = 0; list != NULL && i < members_count(m); i++) {
        const struct member *one = members_at(m, i);
        if (one->state > MEMBER_SUSPECT)
            continue;
        size_t at = (*count)++;
        for (; at > 0 && str_cmp(list[at - 1]->name, one->name) > 0; at--)
            list[at] = list[at - 1];
        list[at] = one;
    }
    return list;
}

static void put_member(struct json *j, const struct member *m)
{
    static const char *versions[MEMBER_VSN_SIZE] = {"PMin", "PMax", "PCur",
                                                    "DMin", "DMax", "DCur"};
    char ip[56];
    gossip_addr_ip_text(&m->addr, ip);
    json_begin_object(j);
    json_key(j, "Name");
    json_str(j, m->name);
    json_key(j, "Addr");
    json_c(j, ip);
    json_key(j, "Port");
    json_u64(j, m->addr.port);
    json_key(j, "Meta");
    if (m->meta.data == NULL)
        json_null(j);
    else
        json_base64(j, m->meta);
    json_key(j, "State"); /* a field that dskit never sets */
    json_u64(j, 0);
    for (size_t i = 0; i < MEMBER_VSN_SIZE; i++) {
        json_key(j, versions[i]);
        json_u64(j, m->vsn[i]);
    }
    json_end_object(j);
}

static void put_members(struct json *j, const struct members *m)
{
    size_t count = 0;
    const struct member **list = sorted_members(m, &count);
    if (list == NULL)
        j->out->error = ERR_NOMEM;
    json_key(j, "SortedMembers");
    json_begin_array(j);
    for (size_t i = 0; i < count; i++)
        put_member(j, list[i]);
    json_end_array(j);
    mem_free(list);
}

static void put_store(struct json *j, const struct kv *kv)
{
    size_t at = 0;
    struct kv_key k;
    json_key(j, "Store");
    json_begin_object(j);
    while (kv_next(kv, &at, &k)) {
        json_key_str(j, k.key);
        json_begin_object(j);
        json_key(j, "Version");
        json_u64(j, k.version);
        json_key(j, "CodecID");
        json_c(j, k.codec->id);
        json_key(j, "Deleted");
        json_bool(j, k.deleted);
        json_key(j, "UpdateTime");
        put_time(j, k.update_ms);
        json_end_object(j);
    }
    json_end_object(j);
}

static void put_sizes(struct json *j, const struct kv *kv)
{
    size_t at = 0;
    uint64_t total = 0;
    struct kv_key k;
    struct buf value = {0};
    json_key(j, "StoreSizes");
    json_begin_object(j);
    while (kv_next(kv, &at, &k)) {
        buf_clear(&value);
        k.codec->encode(k.value, &value);
        total += value.size;
        json_key_str(j, k.key);
        json_u64(j, value.size);
    }
    json_end_object(j);
    json_key(j, "TotalStoreSize");
    json_u64(j, total);
    if (value.error != 0)
        j->out->error = value.error;
    buf_reset(&value);
}

static void put_pair(struct json *j, const struct kv_pair *p)
{
    json_begin_object(j);
    json_key(j, "key");
    json_str(j, p->key);
    json_key(j, "value");
    json_base64(j, p->value);
    json_key(j, "codec");
    json_str(j, p->codec);
    if (p->deleted) {
        json_key(j, "deleted");
        json_bool(j, true);
    }
    if (p->update_ms != 0) {
        json_key(j, "update_time_millis");
        json_i64(j, p->update_ms);
    }
    json_end_object(j);
}

static void put_message(struct json *j, enum kv_direction d, const struct kv_message *m)
{
    json_begin_object(j);
    json_key(j, "ID");
    json_u64(j, gossip_page_number(d, m->id));
    json_key(j, "Time");
    put_time(j, m->at);
    json_key(j, "Size");
    json_u64(j, m->size);
    json_key(j, "Pair");
    put_pair(j, &m->pair);
    json_key(j, "Version");
    json_u64(j, m->version);
    json_key(j, "Changes");
    json_begin_array(j);
    for (struct str rest = m->changes, name; rest.len > 0 && str_cut(&rest, ',', &name);)
        json_str(j, name);
    json_end_array(j);
    json_end_object(j);
}

/* null without any, as Go writes an empty slice. */
static void put_messages(struct json *j, const struct kv_history *h, enum kv_direction d)
{
    size_t at = 0;
    struct kv_message m;
    json_key(j, d == KV_SENT ? "SentMessages" : "ReceivedMessages");
    if (kv_history_count(h, d) == 0) {
        json_null(j);
        return;
    }
    json_begin_array(j);
    while (kv_history_next(h, d, &at, &m))
        put_message(j, d, &m);
    json_end_array(j);
}

void gossip_page_json(struct gossip_core *core, wall_ms now, struct buf *out)
{
    struct json j = json_to(out);
    json_begin_object(&j);
    json_key(&j, "Now");
    put_time(&j, now);
    json_key(&j, "Memberlist");
    json_begin_object(&j);
    json_end_object(&j);
    put_members(&j, memberlist_members(gossip_core_members(core)));
    put_store(&j, gossip_core_kv(core));
    put_sizes(&j, gossip_core_kv(core));
    const struct kv_history *history = kv_messages(gossip_core_kv(core));
    json_key(&j, "MessageHistoryBufferBytes");
    json_u64(&j, kv_history_max(history));
    put_messages(&j, history, KV_SENT);
    put_messages(&j, history, KV_RECEIVED);
    json_key(&j, "ZoneAwareRouting");
    json_begin_object(&j);
    json_key(&j, "Enabled");
    json_bool(&j, false);
    json_key(&j, "Zone");
    json_c(&j, "");
    json_key(&j, "Role");
    json_c(&j, "member");
    json_end_object(&j);
    json_end_object(&j);
    buf_c(out, "\n");
}

static bool key_find(struct gossip_core *core, struct str key, struct kv_key *out)
{
    size_t at = 0;
    while (kv_next(gossip_core_kv(core), &at, out))
        if (str_eq(out->key, key))
            return true;
    return false;
}

static void put_break(struct buf *out, int depth)
{
    buf_u8(out, '\n');
    for (int i = 0; i < depth; i++)
        buf_c(out, "    ");
}

/* Copy the string that begins at in[i]; returns the index of its closing quote. */
static size_t put_quoted(struct str in, size_t i, struct buf *out)
{
    size_t start = i++;
    while (i < in.len && in.data[i] != '"')
        i += in.data[i] == '\\' ? 2 : 1;
    size_t end = i < in.len ? i : in.len - 1;
    buf_put(out, in.data + start, end - start + 1);
    return end;
}

/* Indent JSON that a codec wrote: no blanks outside strings. */
static void put_pretty(struct str in, struct buf *out)
{
    int depth = 0;
    for (size_t i = 0; i < in.len; i++) {
        char c = in.data[i], next = i + 1 < in.len ? in.data[i + 1] : '\0';
        if (c == '"') {
            i = put_quoted(in, i, out);
        } else if (c == '{' || c == '[') {
            buf_u8(out, (uint8_t)c);
            if (next == '}' || next == ']')
                buf_u8(out, (uint8_t)in.data[++i]);
            else
                put_break(out, ++depth);
        } else if (c == '}' || c == ']') {
            put_break(out, --depth);
            buf_u8(out, (uint8_t)c);
        } else {
            buf_u8(out, (uint8_t)c);
            if (c == ',')
                put_break(out, depth);
            else if (c == ':')
                buf_u8(out, ' ');
        }
    }
}

static int put_value(const struct kv_codec *codec, const void *value, bool pretty,
                     struct buf *out)
{
    struct buf json = {0};
    codec->to_json(value, pretty ? &json : out);
    if (pretty)
        put_pretty(buf_view(&json), out);
    buf_c(out, "\n");
    int rc = json.error != 0 ? json.error : out->error;
    buf_reset(&json);
    return rc;
}

int gossip_page_view(struct gossip_core *core, struct str key, bool pretty, struct buf *out)
{
    struct kv_key k;
    if (!key_find(core, key, &k))
        return ERR_NOENT;
    return put_value(k.codec, k.value, pretty, out);
}

/* The codec of that name, if a key has it: a message of any other cannot have been merged. */
static const struct kv_codec *codec_find(struct gossip_core *core, struct str id)
{
    size_t at = 0;
    struct kv_key k;
    while (kv_next(gossip_core_kv(core), &at, &k))
        if (str_eq(str_c(k.codec->id), id))
            return k.codec;
    return NULL;
}

int gossip_page_message(struct gossip_core *core, uint64_t number, bool pretty, struct buf *out)
{
    enum kv_direction d = number % 2 != 0 ? KV_RECEIVED : KV_SENT;
    size_t at = 0;
    struct kv_message m;
    bool found = false;
    while (!found && kv_history_next(kv_messages(gossip_core_kv(core)), d, &at, &m))
        found = m.id == number / 2;
    const struct kv_codec *codec = found ? codec_find(core, m.pair.codec) : NULL;
    if (codec == NULL)
        return ERR_NOENT;
    void *value = NULL;
    int rc = codec->decode(&value, m.pair.value, NULL);
    if (rc == 0)
        rc = put_value(codec, value, pretty, out);
    if (value != NULL)
        codec->free(&value);
    return rc == ERR_LIMIT ? ERR_PARSE : rc;
}

int gossip_page_download(struct gossip_core *core, struct str key, uint64_t *version,
                         struct buf *out)
{
    struct kv_key k;
    if (!key_find(core, key, &k))
        return ERR_NOENT;
    *version = k.version;
    k.codec->encode(k.value, out);
    return out->error;
}
