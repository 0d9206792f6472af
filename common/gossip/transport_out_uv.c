/* gossip/transport_out_uv.c - packets that go out: each waits for one of a few places. */
#include <string.h>

#include "gossip/digest.h"
#include "gossip/transport_uv_priv.h"
#include "net/loop.h"

enum { LOG_QUIET_MS = 60000 };

static void log_dropped(struct transport *t, const struct conn *c, const char *why)
{
    uint64_t left_out = 0;
    char text[GOSSIP_ADDR_TEXT_MAX];
    t->stats.packets_dropped++;
    if (!log_rate_pass(&t->drop_rate, loop_now(t->loop), LOG_QUIET_MS, &left_out))
        return;
    gossip_addr_text(&c->peer, text);
    log_line(t->log, LOG_WARN, "gossip packet dropped", LOG_C("to", text), LOG_C("reason", why),
             LOG_U("left_out", left_out));
}

static void on_packet_read(struct tcp_conn *tcp, struct str bytes, void *arg)
{
    (void)tcp;
    transport_check_answer(arg, bytes);
}

static void on_packet_end(struct tcp_conn *tcp, int code, void *arg)
{
    struct conn *c = arg;
    struct transport *t = c->t;
    (void)tcp;
    if (c->sent) {
        t->stats.packets_sent++;
        t->stats.packets_sent_bytes += c->payload;
        t->stats.sent_bytes += c->size;
    } else {
        t->stats.packets_sent_errors++;
    }
    transport_tell_end(c, code);
    t->writing_count--;
    transport_conn_free(c);
    transport_send_waiting(t);
}

static const struct tcp_events packet_events = {.on_read = on_packet_read,
                                                .on_end = on_packet_end};

/* Connect, send, close. */
static void packet_start(struct transport *t, struct conn *c)
{
    c->size = c->bytes.size;
    if (transport_dial(c, t->cfg.packet_dial_ms, &packet_events) != 0) {
        t->stats.packets_sent_errors++;
        transport_conn_free(c);
        return;
    }
    t->writing_count++;
    list_push_back(&t->writing, &c->link);
    if (t->cfg.packet_write_ms > 0)
        tcp_set_deadline(c->tcp, loop_now(t->loop) + t->cfg.packet_dial_ms +
                                     (mono_ms)t->cfg.packet_write_ms);
    if (transport_write_taking(c, &c->bytes))
        tcp_close_after_writes(c->tcp);
    else
        tcp_close(c->tcp);
}

/* One peer that does not answer gets a quarter of the places at most, so that it does not hold up
 * what goes to the others. */
static bool has_its_share(const struct transport *t, const struct gossip_addr *to)
{
    size_t share = t->cfg.writers_max < 4 ? 1 : t->cfg.writers_max / 4, count = 0;
    LIST_EACH(link, &t->writing)
        count += gossip_addr_eq(&LIST_ITEM(link, struct conn, link)->peer, to);
    return count >= share;
}

void transport_send_waiting(struct transport *t)
{
    LIST_EACH_SAFE(link, &t->waiting) {
        struct conn *c = LIST_ITEM(link, struct conn, link);
        if (t->writing_count >= t->cfg.writers_max)
            return;
        if (has_its_share(t, &c->peer))
            continue;
        list_remove(&c->link);
        t->waiting_count--;
        packet_start(t, c);
    }
}

void transport_tick(struct transport *t)
{
    if (t->tls.tls != NULL)
        tls_poll(t->tls.tls, loop_now(t->loop));
    struct list *first;
    while ((first = list_first(&t->waiting)) != NULL) {
        struct conn *c = LIST_ITEM(first, struct conn, link);
        if (loop_now(t->loop) - c->queued <= t->cfg.writer_wait_ms)
            break;
        log_dropped(t, c,
                    has_its_share(t, &c->peer)
                        ? "the peer is slow and has its share of -memberlist.max-concurrent-writes"
                        : "all places of -memberlist.max-concurrent-writes are taken");
        t->waiting_count--;
        transport_conn_free(c);
    }
    transport_send_waiting(t);
}

void transport_send(struct transport *t, const struct gossip_addr *to, struct buf *bytes)
{
    struct conn *c = transport_conn_new(t, OUT_PACKET, to);
    if (c == NULL) {
        t->stats.packets_dropped++;
        buf_reset(bytes);
        return;
    }
    size_t addr = strlen(t->self);
    uint8_t digest[MD5_SIZE];
    digest_md5(buf_view(bytes), digest);
    buf_u8(&c->bytes, FIRST_PACKET);
    buf_u8(&c->bytes, (uint8_t)addr);
    buf_put(&c->bytes, t->self, addr);
    buf_str(&c->bytes, buf_view(bytes));
    buf_put(&c->bytes, digest, sizeof digest);
    c->payload = bytes->size;
    buf_reset(bytes);
    if (c->bytes.error != 0 || t->waiting_count >= QUEUE_MAX) {
        log_dropped(t, c, c->bytes.error != 0 ? "out of memory" : "too many are waiting");
        transport_conn_free(c);
        return;
    }
    list_push_back(&t->waiting, &c->link);
    t->waiting_count++;
    transport_send_waiting(t);
}

size_t transport_unsent(const struct transport *t)
{
    return t->waiting_count + t->writing_count;
}

