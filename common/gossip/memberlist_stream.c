/* gossip/memberlist_stream.c - streams: push/pull, user messages and fallback pings. */
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "gossip/memberlist_priv.h"
#include "gossip/messages.h"
#include "gossip/msgpack.h"

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
    if (s->ours && !s->ping && code == 0) {
        ml->reach.last_out = ml->now;
        members_answered_at(ml->members, &s->peer);
    }
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
    ml->stats.streams_bad++;
    if (code != ERR_DENIED || s->stage != ST_LABEL) /* that has a line of its own */
        ml_diag_bad(ml, &s->peer, "exchange of state failed", reason, s->in.size);
    if (!s->ours && s->stage == ST_FRAME) {
        struct memberlist_action a = {.verb = ML_STREAM_WRITE, .stream = s->id};
        struct buf msg = {0};
        msg_put_err(&msg, &(struct msg_err){str_c(reason)});
        ml_put_frame(ml, &a.bytes, buf_view(&msg));
        buf_reset(&msg);
        (void)ml_act(ml, &a);
    }
    stream_end(ml, s, code, true);
}

/* --- sending -------------------------------------------------------------------------------- */

/* What an encrypted frame authenticates along: its own header, and the label. */
static int put_sealed(const struct memberlist *ml, struct buf *out, struct str plain)
{
    struct buf head = {0};
    buf_u8(&head, MSG_ENCRYPT);
    buf_u32be(&head, (uint32_t)(plain.len + ml->seal.overhead));
    buf_str(out, buf_view(&head));
    buf_str(&head, ml->cfg.label);
    int rc = head.error;
    if (rc == 0)
        rc = ml->seal.seal(ml->seal.arg, plain, buf_view(&head), out);
    buf_reset(&head);
    return rc;
}

void ml_put_frame(struct memberlist *ml, struct buf *out, struct str plain)
{
    struct buf packed = {0};
    int rc = packet_pack(&packed, plain, ml->cfg.compression);
    if (rc == 0 && ml->seal.seal != NULL && !ml->seal.plain_out)
        rc = packed.size > SEALED_MAX - ml->seal.overhead
                 ? ERR_LIMIT
                 : put_sealed(ml, out, buf_view(&packed));
    else if (rc == 0)
        buf_str(out, buf_view(&packed));
    buf_reset(&packed);
    if (rc != 0 && out->error == 0)
        out->error = ERR_NOMEM;
}

void ml_stream_ping(struct memberlist *ml, const struct gossip_addr *to, uint32_t seq,
                    struct str name, mono_ms due)
{
    struct stream *s = stream_new(ml, to, true);
    struct memberlist_action a = {.verb = ML_STREAM_OPEN, .to = *to};
    struct buf msg = {0};
    if (s == NULL)
        return; /* it is only one of three ways */
    s->ping = true;
    s->seq = seq;
    s->deadline = due;
    a.stream = s->id;
    const struct member *self = members_self(ml->members);
    msg_put_ping(&msg, &(struct msg_ping){.seq = seq,
                                          .node = name,
                                          .source_ip = gossip_addr_ip(&self->addr),
                                          .source_port = self->addr.port,
                                          .source_node = self->name});
    packet_put_label(&a.bytes, ml->cfg.label);
    ml_put_frame(ml, &a.bytes, buf_view(&msg));
    if (msg.error != 0)
        a.bytes.error = msg.error;
    buf_reset(&msg);
    if (ml_act(ml, &a) != 0)
        stream_end(ml, s, ERR_NOMEM, false);
}

int ml_exchange(struct memberlist *ml, const struct gossip_addr *to, bool join, uint64_t tag)
{
    struct stream *s = stream_new(ml, to, true);
    if (s == NULL)
        return ERR_NOMEM;
    struct memberlist_action a = {.verb = ML_STREAM_OPEN, .to = *to, .stream = s->id};
    packet_put_label(&a.bytes, ml->cfg.label);
    ml_put_state(ml, &a.bytes, join);
    if (ml_act(ml, &a) != 0) {
        stream_end(ml, s, ERR_NOMEM, false); /* before join is set: the caller is told by us */
        return ERR_NOMEM;
    }
    s->join = join;
    s->tag = tag;
    return 0;
}

/* --- reading -------------------------------------------------------------------------------- */

/* The peer's state is here. The acceptor answers with its own as it was before, then merges. */
static void finish_push_pull(struct memberlist *ml, struct stream *s)
{
    s->stage = ST_OVER;
    if (!s->ours) {
        struct memberlist_action a = {.verb = ML_STREAM_WRITE, .stream = s->id};
        ml_put_state(ml, &a.bytes, s->join);
        (void)ml_act(ml, &a);
    }
    stream_end(ml, s, ml_merge(ml, s), true);
}

static struct str unread(const struct stream *s)
{
    return str_of(s->in.data + s->at, s->in.size - s->at);
}

/* ERR_AGAIN for something that could be short is taken only up to a size. */
static int patience(const struct stream *s, int rc)
{
    return rc == ERR_AGAIN && s->in.size - s->at > STREAM_ITEM_MAX ? ERR_LIMIT : rc;
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
    if (rc == ERR_DENIED)
        ml_diag_label(ml, &s->peer, packet_label(in), true);
    if (rc != 0)
        return rc;
    s->at += in.len - rest.len;
    s->stage = ST_FRAME;
    return 0;
}

/* The input is now what was inside a frame. */
static void take_inner(struct memberlist *ml, struct stream *s, const struct buf *inner)
{
    ml->stream_bytes += inner->size - s->in.size;
    buf_reset(&s->in);
    s->in = *inner;
    s->at = 0;
    s->whole = true;
}

/* Replace the input by what is inside an encrypted frame. */
static int read_sealed(struct memberlist *ml, struct stream *s)
{
    struct str in = unread(s);
    const uint8_t *b = (const uint8_t *)in.data;
    if (ml->seal.open == NULL || s->opened)
        return ERR_DENIED;
    if (in.len < 5)
        return ERR_AGAIN;
    size_t size = (size_t)b[1] << 24 | (size_t)b[2] << 16 | (size_t)b[3] << 8 | b[4];
    if (size > SEALED_MAX)
        return ERR_LIMIT;
    if (in.len - 5 < size)
        return ERR_AGAIN;
    struct buf aad = {0}, inner = {0};
    buf_str(&aad, str_head(in, 5));
    buf_str(&aad, ml->cfg.label);
    int rc = aad.error;
    if (rc == 0)
        rc = ml->seal.open(ml->seal.arg, str_of(in.data + 5, size), buf_view(&aad), &inner);
    if (rc == 0 && inner.size == 0)
        rc = ERR_PARSE;
    buf_reset(&aad);
    if (rc != 0) {
        buf_reset(&inner);
        return rc;
    }
    take_inner(ml, s, &inner);
    s->opened = true;
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
    take_inner(ml, s, &out);
    return (uint8_t)out.data[0] == MSG_COMPRESS ? ERR_PARSE : 0;
}

static int answer_ping(struct memberlist *ml, struct stream *s)
{
    struct mp_reader r = mp_reader_of(str_skip(unread(s), 1));
    struct msg_ping m;
    int rc = msg_get_ping(&r, &m);
    if (rc != 0)
        return patience(s, rc);
    if (m.node.len == 0 || str_eq(m.node, members_self(ml->members)->name)) {
        struct memberlist_action a = {.verb = ML_STREAM_WRITE, .stream = s->id};
        struct buf msg = {0};
        msg_put_ack(&msg, &(struct msg_ack){.seq = m.seq});
        ml_put_frame(ml, &a.bytes, buf_view(&msg));
        buf_reset(&msg);
        (void)ml_act(ml, &a);
    } else {
        ml_diag_misdirected(ml, &s->peer, m.node, m.source_node);
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
        return patience(s, rc);
    if (m.bytes < 0 || m.bytes > STREAM_BYTES_MAX)
        return ERR_LIMIT;
    if (r.end - r.at < m.bytes)
        return ERR_AGAIN;
    if (ml->delegate.on_message != NULL)
        ml->delegate.on_message(ml->delegate.arg, str_of(r.at, (size_t)m.bytes));
    stream_end(ml, s, 0, true);
    return ERR_CLOSED;
}

/* The answer to our ping, or a refusal in words. */
static int read_answer(struct memberlist *ml, struct stream *s, uint8_t type)
{
    struct mp_reader r = mp_reader_of(str_skip(unread(s), 1));
    struct msg_ack ack;
    struct msg_err refusal;
    if (!s->ours || (type == MSG_ACK && !s->ping))
        return ERR_PARSE;
    int rc = type == MSG_ACK ? msg_get_ack(&r, &ack) : msg_get_err(&r, &refusal);
    if (rc != 0)
        return patience(s, rc);
    if (type == MSG_ERR) {
        ml->stats.streams_bad++;
        ml_diag_refused(ml, &s->peer, refusal.text);
    } else if (ack.seq == s->seq) {
        ml_on_stream_ack(ml, s->seq);
    }
    s->stage = ST_OVER;
    stream_end(ml, s, type == MSG_ERR ? ERR_DENIED : 0, true);
    return ERR_CLOSED;
}

static int read_frame(struct memberlist *ml, struct stream *s)
{
    struct str in = unread(s);
    if (in.len == 0)
        return ERR_AGAIN;
    if ((uint8_t)in.data[0] == MSG_ENCRYPT)
        return read_sealed(ml, s);
    if (ml->seal.open != NULL && !s->opened && !s->whole && !ml->seal.plain_in)
        return ERR_DENIED;
    switch ((uint8_t)in.data[0]) {
    case MSG_COMPRESS:
        return read_compressed(ml, s);
    case MSG_PUSH_PULL:
        if (s->ping)
            return ERR_PARSE;
        s->at++;
        s->stage = ST_HEADER;
        return 0;
    case MSG_PING:
        return s->ours ? ERR_PARSE : answer_ping(ml, s);
    case MSG_USER:
        return s->ours ? ERR_PARSE : read_user_message(ml, s);
    case MSG_ACK:
    case MSG_ERR:
        return read_answer(ml, s, (uint8_t)in.data[0]);
    default:
        ml_diag_unknown(ml, &s->peer, (uint8_t)in.data[0]);
        return ERR_PARSE;
    }
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
    const char *reason = rc != ERR_DENIED         ? err_text(rc)
                         : s->stage == ST_LABEL   ? "label of another cluster"
                         : ml->seal.open == NULL  ? "encrypted, and this member has no key"
                                                  : "not encrypted, or with another key";
    stream_refuse(ml, s, rc, reason);
}

/* --- limits --------------------------------------------------------------------------------- */

/* Others' streams of one peer (an IP address), and the bytes that they hold. */
struct share {
    size_t streams, bytes;
};

static struct share share_of(const struct memberlist *ml, const struct gossip_addr *peer)
{
    struct share sum = {0};
    uint8_t ip[16], other[16];
    gossip_addr_key(peer, ip);
    LIST_EACH(link, &ml->streams) {
        const struct stream *s = LIST_ITEM(link, struct stream, link);
        gossip_addr_key(&s->peer, other);
        if (s->ours || memcmp(ip, other, sizeof ip) != 0)
            continue;
        sum.streams++;
        sum.bytes += s->in.size;
    }
    return sum;
}

/* The oldest stream of a peer that has more of them than `from`, which is that with most; NULL:
 * there is none. */
static struct stream *crowd(const struct memberlist *ml, const struct gossip_addr *from)
{
    struct stream *oldest = NULL;
    size_t most = share_of(ml, from).streams;
    LIST_EACH(link, &ml->streams) {
        struct stream *s = LIST_ITEM(link, struct stream, link);
        size_t count = s->ours ? 0 : share_of(ml, &s->peer).streams;
        oldest = count > most ? s : oldest;
        most = count > most ? count : most;
    }
    return oldest;
}

/* The same for bytes: who has to go for `s` to go on, `s` itself at worst. */
static struct stream *hog(const struct memberlist *ml, struct stream *s)
{
    struct stream *oldest = s;
    size_t most = share_of(ml, &s->peer).bytes;
    LIST_EACH(link, &ml->streams) {
        struct stream *other = LIST_ITEM(link, struct stream, link);
        size_t bytes = other->ours || other->in.size == 0 ? 0 : share_of(ml, &other->peer).bytes;
        oldest = bytes > most ? other : oldest;
        most = bytes > most ? bytes : most;
    }
    return oldest;
}

/* --- events --------------------------------------------------------------------------------- */

uint32_t memberlist_on_accept(struct memberlist *ml, const struct gossip_addr *from, mono_ms now)
{
    ml->now = now;
    ml->reach.last_in = now;
    struct stream *crowding = ml->streams_in < STREAMS_IN_MAX ? NULL : crowd(ml, from);
    if (crowding != NULL) {
        ml->stats.streams_refused++;
        stream_end(ml, crowding, ERR_LIMIT, true);
    }
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
    if (s != NULL && !s->ping) /* once for sending, once for reading, as memberlist does */
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
    if (bytes.len > STREAM_BYTES_MAX - before) {
        stream_refuse(ml, s, ERR_LIMIT, "too much state");
        return;
    }
    while (ml->stream_bytes > STREAM_BYTES_TOTAL - bytes.len) {
        struct stream *victim = hog(ml, s);
        stream_refuse(ml, victim, ERR_LIMIT, "too much state");
        if (victim == s)
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
    else if (code == 0 && s->ours && !s->ping)
        ml_diag_unanswered(ml, &s->peer);
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
