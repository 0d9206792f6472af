#include "base/log.h"
#include "base/mem.h"
#include "gossip/memberlist_priv.h"
#include "gossip/messages.h"
#include "gossip/msgpack.h"

enum { QUIET_MS = 60000 };

/* --- streams and their end ------------------------------------------------------------------ */

static struct stream *stream_get(const struct memberlist *ml, uint32_t id)
{
    LIST_EACH(link, &ml->streams)
        if (LIST_ITEM(link, struct stream, link)->id == id)
            return LIST_ITEM(link, struct stream, link);
    return NULL;
}

static struct stream *stream_new(struct memberlist *ml, const struct gossip_addr *peer, bool ours)
{
    struct stream *s = mem_zalloc(sizeof *s);
    if (s == NULL)
        return NULL;
    if (++ml->last_stream == 0)
        ml->last_stream = 1;
    *s = (struct stream){.id = ml->last_stream,
                         .ours = ours,
                         .peer = *peer,
                         .deadline = ml->now + ml->cfg.stream_timeout_ms,
                         .stage = ours ? ST_FRAME : ST_LABEL};
    list_push_back(&ml->streams, &s->link);
    ml->streams_in += ours ? 0 : 1;
    return s;
}

/* The machine's part is over: tell the driver (unless it told us), and who waits for a join. */
static void stream_end(struct memberlist *ml, struct stream *s, int code, bool tell_driver)
{
    if (tell_driver)
        (void)ml_act(ml, &(struct memberlist_action){.verb = ML_STREAM_CLOSE, .stream = s->id});
    if (s->ours && s->join)
        (void)ml_act(ml, &(struct memberlist_action){
                             .verb = ML_JOINED, .to = s->peer, .tag = s->tag, .code = code});
    ml->streams_in -= s->ours ? 0 : 1;
    ml->stream_bytes -= s->in.size;
    list_remove(&s->link);
    buf_reset(&s->in);
    mem_free(s);
}

/* A stream that cannot be understood. A peer that asked gets the reason where memberlist gives
 * one: for what is wrong around the message, not inside it. */
static void stream_refuse(struct memberlist *ml, struct stream *s, int code, const char *reason)
{
    char text[GOSSIP_ADDR_TEXT_MAX];
    uint64_t left_out = 0;
    ml->stats.streams_bad++;
    if (log_rate_pass(&ml->bad_rate, ml->now, QUIET_MS, &left_out)) {
        gossip_addr_text(&s->peer, text);
        log_line(ml->log, LOG_WARN, "exchange of state failed", LOG_C("peer", text),
                 LOG_C("reason", reason), LOG_U("left_out", left_out));
    }
    if (!s->ours && s->stage == ST_FRAME) {
        struct memberlist_action a = {.verb = ML_STREAM_WRITE, .stream = s->id};
        msg_put_err(&a.bytes, &(struct msg_err){str_c(reason)});
        (void)ml_act(ml, &a);
    }
    stream_end(ml, s, code, true);
}

/* --- sending -------------------------------------------------------------------------------- */

/* Append our whole state: members, then the delegate's. */
static void put_state(struct memberlist *ml, struct buf *out, bool join)
{
    struct buf user = {0};
    if (ml->delegate.put_state != NULL)
        ml->delegate.put_state(ml->delegate.arg, &user);
    struct msg_push_pull header = {.nodes = (int64_t)members_count(ml->members),
                                   .user_bytes = (int64_t)user.size,
                                   .join = join};
    msg_put_push_pull(out, &header);
    for (size_t i = 0; i < members_count(ml->members); i++) {
        const struct member *m = members_at(ml->members, i);
        struct msg_node n = {.name = m->name,
                             .ip = gossip_addr_ip(&m->addr),
                             .port = m->addr.port,
                             .meta = m->meta,
                             .incarnation = m->incarnation,
                             .state = m->state,
                             .vsn = str_of(m->vsn, MEMBER_VSN_SIZE)};
        msg_put_node(out, &n);
    }
    buf_str(out, buf_view(&user));
    if (user.error != 0)
        out->error = user.error;
    buf_reset(&user);
}

/* Append our state as one frame, compressed when that pays. */
static void put_frame(struct memberlist *ml, struct buf *out, bool join)
{
    struct buf plain = {0};
    put_state(ml, &plain, join);
    if (plain.error != 0)
        out->error = plain.error;
    else if (packet_pack(out, buf_view(&plain), ml->cfg.compression) != 0)
        out->error = ERR_NOMEM;
    buf_reset(&plain);
}

int ml_exchange(struct memberlist *ml, const struct gossip_addr *to, bool join, uint64_t tag)
{
    struct stream *s = stream_new(ml, to, true);
    if (s == NULL)
        return ERR_NOMEM;
    struct memberlist_action a = {.verb = ML_STREAM_OPEN, .to = *to, .stream = s->id};
    packet_put_label(&a.bytes, ml->cfg.label);
    put_frame(ml, &a.bytes, join);
    if (ml_act(ml, &a) != 0) {
        stream_end(ml, s, ERR_NOMEM, false); /* before join is set: the caller is told by us */
        return ERR_NOMEM;
    }
    s->join = join;
    s->tag = tag;
    return 0;
}

/* --- merging -------------------------------------------------------------------------------- */

/* Ranges of versions that all alive members speak. */
struct ranges {
    uint8_t min[2], max[2]; /* protocol, delegate */
};

static void ranges_add(struct ranges *r, const uint8_t *vsn)
{
    for (int i = 0; i < 2; i++) {
        r->min[i] = vsn[3 * i] > r->min[i] ? vsn[3 * i] : r->min[i];
        r->max[i] = vsn[3 * i + 1] < r->max[i] ? vsn[3 * i + 1] : r->max[i];
    }
}

static bool ranges_hold(const struct ranges *r, const uint8_t *vsn)
{
    for (int i = 0; i < 2; i++)
        if (vsn[3 * i + 2] < r->min[i] || vsn[3 * i + 2] > r->max[i])
            return false;
    return true;
}

static struct mp_reader nodes_reader(const struct stream *s)
{
    return mp_reader_of(str_of(s->in.data + s->nodes_at, s->in.size - s->nodes_at));
}

static void vsn_of(const struct msg_node *n, uint8_t out[MEMBER_VSN_SIZE])
{
    for (size_t i = 0; i < MEMBER_VSN_SIZE; i++)
        out[i] = i < n->vsn.len ? (uint8_t)n->vsn.data[i] : 0;
}

/* memberlist's verifyProtocol: every member, here and there, must speak what all alive ones do. */
static bool versions_fit(const struct memberlist *ml, const struct stream *s)
{
    struct ranges r = {.max = {UINT8_MAX, UINT8_MAX}};
    uint8_t vsn[MEMBER_VSN_SIZE];
    struct msg_node n;
    struct mp_reader first = nodes_reader(s), second = first;
    for (int64_t i = 0; i < s->nodes && msg_get_node(&first, &n) == 0; i++) {
        vsn_of(&n, vsn);
        if (n.state == MEMBER_ALIVE && n.vsn.len >= 5)
            ranges_add(&r, vsn);
    }
    for (size_t i = 0; i < members_count(ml->members); i++)
        if (members_at(ml->members, i)->state == MEMBER_ALIVE)
            ranges_add(&r, members_at(ml->members, i)->vsn);
    for (int64_t i = 0; i < s->nodes && msg_get_node(&second, &n) == 0; i++) {
        vsn_of(&n, vsn);
        if (!ranges_hold(&r, vsn))
            return false;
    }
    for (size_t i = 0; i < members_count(ml->members); i++)
        if (!ranges_hold(&r, members_at(ml->members, i)->vsn))
            return false;
    return true;
}

/* One member as the peer sees it. What it holds for dead we only suspect, so that the member has
 * the chance to refute. */
static int merge_node(struct memberlist *ml, const struct msg_node *n)
{
    struct msg_alive alive = {.incarnation = n->incarnation,
                              .node = n->name,
                              .ip = n->ip,
                              .port = n->port,
                              .meta = n->meta,
                              .vsn = n->vsn};
    struct msg_accuse accuse = {n->incarnation, n->name, ml->cfg.name};
    switch (n->state) {
    case MEMBER_ALIVE:
        return members_on_alive(ml->members, &alive, ml->now);
    case MEMBER_LEFT:
        accuse.from = n->name;
        return members_on_dead(ml->members, &accuse, ml->now);
    case MEMBER_SUSPECT:
    case MEMBER_DEAD:
        return members_on_suspect(ml->members, &accuse, ml->now);
    default:
        return 0;
    }
}

static int merge(struct memberlist *ml, struct stream *s)
{
    struct msg_node n;
    struct mp_reader r = nodes_reader(s);
    if (!versions_fit(ml, s)) {
        uint64_t left_out = 0;
        char text[GOSSIP_ADDR_TEXT_MAX];
        ml->stats.merge_refused++;
        gossip_addr_text(&s->peer, text);
        if (log_rate_pass(&ml->version_rate, ml->now, QUIET_MS, &left_out))
            log_line(ml->log, LOG_WARN, "state refused: protocol versions do not fit",
                     LOG_C("peer", text), LOG_U("left_out", left_out));
        return ERR_VERSION;
    }
    for (int64_t i = 0; i < s->nodes && msg_get_node(&r, &n) == 0; i++)
        if (merge_node(ml, &n) != 0)
            ml->stats.dropped_nomem++;
    if (s->user_bytes > 0 && ml->delegate.on_state != NULL)
        ml->delegate.on_state(ml->delegate.arg,
                              str_of(s->in.data + s->at, (size_t)s->user_bytes));
    ml->stats.streams_ok++;
    return 0;
}

/* The peer's state is here. The acceptor answers with its own as it was before, then merges. */
static void finish_push_pull(struct memberlist *ml, struct stream *s)
{
    s->stage = ST_OVER;
    if (!s->ours) {
        struct memberlist_action a = {.verb = ML_STREAM_WRITE, .stream = s->id};
        put_frame(ml, &a.bytes, s->join);
        (void)ml_act(ml, &a);
    }
    stream_end(ml, s, merge(ml, s), true);
}

/* --- reading -------------------------------------------------------------------------------- */

static struct str unread(const struct stream *s)
{
    return str_of(s->in.data + s->at, s->in.size - s->at);
}

/* 0 when done with this stage, ERR_AGAIN for more bytes; others end the stream. */
static int read_label(struct memberlist *ml, struct stream *s)
{
    struct str in = unread(s);
    if (in.len == 0 ||
        ((uint8_t)in.data[0] == MSG_LABEL && (in.len < 2 || in.len - 2 < (uint8_t)in.data[1])))
        return ERR_AGAIN;
    struct str rest = in;
    int rc = packet_strip_label(&rest, ml->cfg.label, ml->cfg.any_label);
    if (rc != 0)
        return rc;
    s->at += in.len - rest.len;
    s->stage = ST_FRAME;
    return 0;
}

/* Replace the input by what is inside a compressed frame. */
static int read_compressed(struct memberlist *ml, struct stream *s)
{
    struct mp_reader r = mp_reader_of(str_skip(unread(s), 1));
    struct msg_compress m;
    int rc = msg_get_compress(&r, &m);
    if (rc != 0)
        return rc;
    struct buf out = {.limit = PACKET_UNPACKED_MAX};
    rc = packet_unpack(&out, str_skip(unread(s), 1));
    if (rc == 0 && out.size == 0)
        rc = ERR_PARSE;
    if (rc != 0) {
        buf_reset(&out);
        return rc;
    }
    ml->stream_bytes += out.size - s->in.size;
    buf_reset(&s->in);
    s->in = out;
    s->at = 0;
    s->whole = true;
    return (uint8_t)out.data[0] == MSG_COMPRESS ? ERR_PARSE : 0;
}

static int answer_ping(struct memberlist *ml, struct stream *s)
{
    struct mp_reader r = mp_reader_of(str_skip(unread(s), 1));
    struct msg_ping m;
    int rc = msg_get_ping(&r, &m);
    if (rc != 0)
        return rc;
    if (m.node.len == 0 || str_eq(m.node, ml->cfg.name)) {
        struct memberlist_action a = {.verb = ML_STREAM_WRITE, .stream = s->id};
        msg_put_ack(&a.bytes, &(struct msg_ack){.seq = m.seq});
        (void)ml_act(ml, &a);
    }
    s->stage = ST_OVER;
    stream_end(ml, s, 0, true);
    return ERR_CLOSED;
}

static int read_user_message(struct memberlist *ml, struct stream *s)
{
    struct mp_reader r = mp_reader_of(str_skip(unread(s), 1));
    struct msg_user_header m;
    int rc = msg_get_user_header(&r, &m);
    if (rc != 0)
        return rc;
    if (m.bytes < 0 || m.bytes > STREAM_BYTES_MAX)
        return ERR_LIMIT;
    if (r.end - r.at < m.bytes)
        return ERR_AGAIN;
    if (ml->delegate.on_message != NULL)
        ml->delegate.on_message(ml->delegate.arg, str_of(r.at, (size_t)m.bytes));
    stream_end(ml, s, 0, true);
    return ERR_CLOSED;
}

static int read_frame(struct memberlist *ml, struct stream *s)
{
    struct str in = unread(s);
    if (in.len == 0)
        return ERR_AGAIN;
    switch ((uint8_t)in.data[0]) {
    case MSG_COMPRESS:
        return read_compressed(ml, s);
    case MSG_PUSH_PULL:
        s->at++;
        s->stage = ST_HEADER;
        return 0;
    case MSG_PING:
        return s->ours ? ERR_PARSE : answer_ping(ml, s);
    case MSG_USER:
        return s->ours ? ERR_PARSE : read_user_message(ml, s);
    default: /* an err message, too: the exchange has failed */
        return ERR_PARSE;
    }
}

/* ERR_AGAIN for something that could be short is taken only up to a size. */
static int patience(const struct stream *s, int rc)
{
    return rc == ERR_AGAIN && s->in.size - s->at > STREAM_ITEM_MAX ? ERR_LIMIT : rc;
}

static int read_header(struct stream *s)
{
    struct mp_reader r = mp_reader_of(unread(s));
    struct msg_push_pull m;
    int rc = msg_get_push_pull(&r, &m);
    if (rc != 0)
        return patience(s, rc);
    if (m.nodes < 0 || m.nodes > STREAM_NODES_MAX || m.user_bytes < 0 ||
        m.user_bytes > STREAM_BYTES_MAX)
        return ERR_LIMIT;
    s->at = (size_t)(r.at - s->in.data);
    s->nodes_at = s->at;
    s->nodes = s->nodes_left = m.nodes;
    s->user_bytes = m.user_bytes;
    s->join = s->ours ? s->join : m.join;
    s->stage = ST_NODES;
    return 0;
}

static int read_nodes(struct stream *s)
{
    while (s->nodes_left > 0) {
        struct mp_reader r = mp_reader_of(unread(s));
        struct msg_node n;
        int rc = msg_get_node(&r, &n);
        if (rc != 0)
            return patience(s, rc);
        s->at = (size_t)(r.at - s->in.data);
        s->nodes_left--;
    }
    s->stage = ST_USER;
    return 0;
}

/* Read on as far as the bytes go. The stream may be gone afterwards. */
static void stream_read(struct memberlist *ml, struct stream *s)
{
    int rc = 0;
    while (rc == 0) {
        switch (s->stage) {
        case ST_LABEL:
            rc = read_label(ml, s);
            break;
        case ST_FRAME:
            rc = read_frame(ml, s);
            break;
        case ST_HEADER:
            rc = read_header(s);
            break;
        case ST_NODES:
            rc = read_nodes(s);
            break;
        case ST_USER:
            if (s->in.size - s->at < (size_t)s->user_bytes) {
                rc = ERR_AGAIN;
                break;
            }
            finish_push_pull(ml, s);
            return;
        case ST_OVER:
            return;
        }
    }
    if (rc == ERR_CLOSED || (rc == ERR_AGAIN && !s->whole))
        return;
    rc = rc == ERR_AGAIN ? ERR_PARSE : rc;
    stream_refuse(ml, s, rc, rc == ERR_DENIED ? "label of another cluster" : err_text(rc));
}

/* --- events --------------------------------------------------------------------------------- */

uint32_t memberlist_on_accept(struct memberlist *ml, const struct gossip_addr *from, mono_ms now)
{
    ml->now = now;
    struct stream *s = ml->streams_in < STREAMS_IN_MAX ? stream_new(ml, from, false) : NULL;
    if (s == NULL) {
        ml->stats.streams_refused++;
        return 0;
    }
    return s->id;
}

void memberlist_on_connect(struct memberlist *ml, uint32_t stream, mono_ms now)
{
    struct stream *s = stream_get(ml, stream);
    ml->now = now;
    if (s != NULL) /* once for sending, once for reading, as memberlist does */
        s->deadline = now + 2 * (mono_ms)ml->cfg.stream_timeout_ms;
}

void memberlist_on_bytes(struct memberlist *ml, uint32_t stream, struct str bytes, mono_ms now)
{
    struct stream *s = stream_get(ml, stream);
    ml->now = now;
    members_heard(ml->members, now);
    if (s == NULL || bytes.len == 0)
        return;
    size_t before = s->in.size;
    if (bytes.len > STREAM_BYTES_MAX - before || bytes.len > STREAM_BYTES_TOTAL ||
        ml->stream_bytes > STREAM_BYTES_TOTAL - bytes.len) {
        stream_refuse(ml, s, ERR_LIMIT, "too much state");
        return;
    }
    buf_str(&s->in, bytes);
    ml->stream_bytes += s->in.size - before;
    if (s->in.error != 0) {
        stream_refuse(ml, s, s->in.error, err_text(s->in.error));
        return;
    }
    stream_read(ml, s);
}

void memberlist_on_end(struct memberlist *ml, uint32_t stream, int code, mono_ms now)
{
    struct stream *s = stream_get(ml, stream);
    ml->now = now;
    if (s == NULL)
        return;
    if (code == 0 && s->in.size > 0)
        ml->stats.streams_bad++; /* cut short */
    stream_end(ml, s, code == 0 ? ERR_CLOSED : code, code == 0);
}

void ml_streams_tick(struct memberlist *ml)
{
    LIST_EACH_SAFE(link, &ml->streams) {
        struct stream *s = LIST_ITEM(link, struct stream, link);
        if (s->deadline > ml->now)
            continue;
        ml->stats.streams_timeout++;
        stream_end(ml, s, ERR_TIMEOUT, true);
    }
}

mono_ms ml_streams_due(const struct memberlist *ml)
{
    mono_ms due = MONO_NEVER;
    LIST_EACH(link, &ml->streams) {
        mono_ms d = LIST_ITEM(link, struct stream, link)->deadline;
        due = d < due ? d : due;
    }
    return due;
}
