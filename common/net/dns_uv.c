/* net/dns_uv.c - c-ares on a loop: a poll handle for each of its sockets, a tick while queries are
 * open (sockets may be closed meanwhile, its time-outs still count), a new channel when resolv.conf
 * has changed. What is done waits in a list for a timer, so that nobody is called from inside. */
#include "net/dns.h"

#define CARES_NO_DEPRECATED /* 1.28 and later: what they offer instead is not in 1.18 */
#include <ares.h>
#include <netdb.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <uv.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/mem.h"
#include "net/loop_priv.h"

enum {
    OPEN_MAX = 512, /* queries */
    TIMEOUT_MS = 2000,
    TRIES = 2,
    TICK_MS = 50,
    UDP_BYTES = 1232, /* fits every path without fragments (DNS flag day 2020) */
    LOOK_MS = 5000,   /* between looks at resolv.conf */
    PARTS = 2,
};

/* What tells one resolv.conf from the next. */
struct file_mark {
    struct timespec mtime;
    ino_t inode;
    off_t size;
};

struct channel {
    struct list link;
    struct dns *dns;
    ares_channel ares;
    struct list polls;
    unsigned open; /* questions to it without an answer */
};

struct poll {
    struct list link;
    uv_poll_t uv;
    struct channel *channel;
    ares_socket_t fd;
};

/* One question of a query: its type at one channel. */
struct part {
    struct dns_query *query;
    struct channel *channel;
    enum dns_type type;
    int code;
    const char *why;
};

struct dns_query {
    struct list link; /* of dns.open or dns.done */
    struct dns *dns;
    dns_fn fn; /* NULL: cancelled */
    void *arg;
    struct part parts[PARTS];
    unsigned asked, waiting;
    struct dns_records records;
};

struct dns {
    struct loop *loop;
    char *servers; /* comma list; NULL: those of resolv.conf */
    const char *resolv_conf;
    bool no_hosts;
    uint32_t timeout_ms, look_ms;
    struct file_mark mark;
    mono_ms look_due;
    struct list channels; /* the newest first; older ones end with their last answer */
    struct list open, done;
    size_t count; /* of open and done */
    struct loop_timer *tick, *deliver;
};

/* --- sockets -------------------------------------------------------------------------------- */

static void on_poll_closed(uv_handle_t *h)
{
    mem_free(h->data);
}

static void poll_close(struct poll *p)
{
    list_remove(&p->link);
    uv_poll_stop(&p->uv);
    uv_close((uv_handle_t *)&p->uv, on_poll_closed);
}

static void on_poll(uv_poll_t *uv, int status, int events)
{
    struct poll *p = uv->data;
    bool readable = status < 0 || (events & UV_READABLE) != 0;
    bool writable = status < 0 || (events & UV_WRITABLE) != 0;
    ares_socket_t fd = p->fd;
    ares_process_fd(p->channel->ares, readable ? fd : ARES_SOCKET_BAD,
                    writable ? fd : ARES_SOCKET_BAD);
}

static struct poll *poll_of(struct channel *c, ares_socket_t fd)
{
    LIST_EACH(it, &c->polls)
        if (LIST_ITEM(it, struct poll, link)->fd == fd)
            return LIST_ITEM(it, struct poll, link);
    return NULL;
}

/* c-ares wants to know of a socket, or (neither) will close it. Without memory for the handle the
 * question runs into its time-out. */
static void on_socket(void *arg, ares_socket_t fd, int readable, int writable)
{
    struct channel *c = arg;
    struct poll *p = poll_of(c, fd);
    if (!readable && !writable) {
        if (p != NULL)
            poll_close(p);
        return;
    }
    if (p == NULL) {
        p = mem_zalloc(sizeof *p);
        if (p == NULL)
            return;
        if (uv_poll_init(loop_uv(c->dns->loop), &p->uv, fd) != 0) {
            mem_free(p);
            return;
        }
        p->uv.data = p;
        p->channel = c;
        p->fd = fd;
        list_push_back(&c->polls, &p->link);
    }
    (void)uv_poll_start(&p->uv, (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0),
                        on_poll);
}

/* --- channels ------------------------------------------------------------------------------- */

static struct file_mark mark_of(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return (struct file_mark){.size = -1};
    return (struct file_mark){st.st_mtim, st.st_ino, st.st_size};
}

static bool mark_eq(const struct file_mark *a, const struct file_mark *b)
{
    return a->mtime.tv_sec == b->mtime.tv_sec && a->mtime.tv_nsec == b->mtime.tv_nsec &&
           a->inode == b->inode && a->size == b->size;
}

static int code_of_ares(int status)
{
    switch (status) {
    case ARES_SUCCESS: return 0;
    case ARES_ENOTFOUND:
    case ARES_ENODATA: return ERR_NOENT;
    case ARES_ETIMEOUT: return ERR_TIMEOUT;
    case ARES_EBADNAME:
    case ARES_EBADSTR: return ERR_INVAL;
    case ARES_EBADRESP: return ERR_PARSE;
    case ARES_ENOMEM: return ERR_NOMEM;
    default: return ERR_UNAVAILABLE;
    }
}

static const char *why_of_ares(int status)
{
    switch (status) {
    case ARES_SUCCESS: return "";
    case ARES_ENOTFOUND: return "NXDOMAIN: no such name";
    case ARES_ENODATA: return "NODATA: the name has no such record";
    case ARES_ETIMEOUT: return "timeout: no answer from the DNS servers";
    case ARES_EBADNAME:
    case ARES_EBADSTR: return "not a name";
    case ARES_EBADRESP: return "broken answer of the DNS servers";
    case ARES_ENOMEM: return "out of memory";
    case ARES_EFORMERR: return "FORMERR: the DNS servers do not understand the question";
    case ARES_ESERVFAIL:
    case ARES_EREFUSED:
    case ARES_ENOTIMP:
    case ARES_ECONNREFUSED: /* all of these are this one up to c-ares 1.18 */
        return "the DNS servers answer SERVFAIL or REFUSED, or cannot be reached";
    default: return "the DNS servers cannot be asked";
    }
}

static void channel_free(struct channel *c)
{
    list_remove(&c->link);
    ares_destroy(c->ares);
    LIST_EACH_SAFE(it, &c->polls)
        poll_close(LIST_ITEM(it, struct poll, link));
    mem_free(c);
}

/* A channel with the servers and the search list of now. */
static int channel_add(struct dns *d)
{
    struct channel *c = mem_zalloc(sizeof *c);
    if (c == NULL)
        return ERR_NOMEM;
    c->dns = d;
    list_init(&c->link);
    list_init(&c->polls);
    struct ares_options o = {.flags = ARES_FLAG_EDNS,
                             .timeout = (int)d->timeout_ms,
                             .tries = TRIES,
                             .ednspsz = UDP_BYTES,
                             .sock_state_cb = on_socket,
                             .sock_state_cb_data = c};
    int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_EDNSPSZ |
               ARES_OPT_SOCK_STATE_CB;
#ifdef ARES_OPT_QUERY_CACHE
    o.qcache_max_ttl = 0; /* who asks again wants to know */
    mask |= ARES_OPT_QUERY_CACHE;
#endif
    char *path = (char *)(uintptr_t)d->resolv_conf; /* c-ares copies it */
    if (path != NULL) {
        o.resolvconf_path = path;
        mask |= ARES_OPT_RESOLVCONF;
    }
    int status = ares_init_options(&c->ares, &o, mask);
    if (status != ARES_SUCCESS) {
        mem_free(c);
        return status == ARES_ENOMEM ? ERR_NOMEM : ERR_IO;
    }
    if (d->servers != NULL)
        status = ares_set_servers_ports_csv(c->ares, d->servers);
    if (status != ARES_SUCCESS) {
        ares_destroy(c->ares);
        mem_free(c);
        return status == ARES_ENOMEM ? ERR_NOMEM : ERR_INVAL;
    }
    list_push_front(&d->channels, &c->link);
    return 0;
}

/* The channel to ask: a new one when resolv.conf is another than before. */
static struct channel *channel_now(struct dns *d)
{
    mono_ms now = loop_now(d->loop);
    struct channel *newest = LIST_ITEM(list_first(&d->channels), struct channel, link);
    if (now < d->look_due)
        return newest;
    d->look_due = now + d->look_ms;
    struct file_mark mark = mark_of(d->resolv_conf == NULL ? "/etc/resolv.conf" : d->resolv_conf);
    if (mark_eq(&mark, &d->mark) || channel_add(d) != 0)
        return newest;
    d->mark = mark;
    if (newest->open == 0)
        channel_free(newest);
    return LIST_ITEM(list_first(&d->channels), struct channel, link);
}

/* --- answers -------------------------------------------------------------------------------- */

static void query_free(struct dns_query *q)
{
    list_remove(&q->link);
    q->dns->count--;
    dns_records_reset(&q->records);
    mem_free(q);
}

/* All parts have an answer: the caller hears of it on the loop's next turn. */
static void query_done(struct dns_query *q)
{
    list_remove(&q->link);
    list_push_back(&q->dns->done, &q->link);
    loop_timer_start(q->dns->deliver, 0, 0);
}

/* Put the addresses of a second answer behind those of the first. */
static int merge(struct dns_records *to, struct dns_records *from)
{
    if (to->addr_count == 0 && to->srv_count == 0) {
        *to = *from;
        *from = (struct dns_records){0};
        return 0;
    }
    size_t count = to->addr_count + from->addr_count;
    struct addr *all = mem_realloc_array(to->addrs, count, sizeof *all);
    if (all == NULL)
        return ERR_NOMEM;
    memcpy(all + to->addr_count, from->addrs, from->addr_count * sizeof *all);
    to->addrs = all;
    to->addr_count = count;
    to->cut = to->cut || from->cut;
    return 0;
}

static void on_answer(void *arg, int status, int timeouts, unsigned char *bytes, int size)
{
    struct part *p = arg;
    struct dns_query *q = p->query;
    struct dns_records records = {0};
    (void)timeouts;
    p->channel->open--;
    p->code = code_of_ares(status);
    p->why = why_of_ares(status);
    if (status == ARES_SUCCESS) {
        p->code = dns_msg_read(str_of(bytes, (size_t)size), p->type, &records);
        if (p->code == 0 && records.addr_count + records.srv_count == 0) {
            p->code = ERR_NOENT;
            p->why = why_of_ares(ARES_ENODATA);
        } else if (p->code == 0) {
            p->code = merge(&q->records, &records);
        }
        if (p->code != 0 && p->code != ERR_NOENT)
            p->why = why_of_ares(p->code == ERR_NOMEM ? ARES_ENOMEM : ARES_EBADRESP);
        dns_records_reset(&records);
    }
    if (--q->waiting == 0)
        query_done(q);
}

/* One result of all parts: found when one found something, failed when one failed. */
static struct dns_result result_of(const struct dns_query *q)
{
    struct dns_result r = {.code = ERR_NOENT, .why = "", .records = &q->records};
    if (q->records.addr_count + q->records.srv_count > 0) {
        r.code = 0;
        return r;
    }
    for (unsigned i = 0; i < q->asked; i++) {
        const struct part *p = &q->parts[i];
        bool failed = p->code != 0 && p->code != ERR_NOENT;
        if (r.code != ERR_NOENT || (!failed && p->code == 0))
            continue;
        if (failed || r.why[0] == '\0' || p->why == why_of_ares(ARES_ENODATA))
            r = (struct dns_result){p->code, p->why, &q->records};
    }
    return r;
}

static void on_deliver(void *arg)
{
    struct dns *d = arg;
    struct list *first = list_first(&d->done);
    if (first == NULL)
        return;
    struct dns_query *q = LIST_ITEM(first, struct dns_query, link);
    list_remove(first); /* then fn may free the struct dns */
    d->count--;
    if (!list_is_empty(&d->done))
        loop_timer_start(d->deliver, 0, 0);
    struct dns_result r = result_of(q);
    if (q->fn != NULL)
        q->fn(q->arg, &r);
    dns_records_reset(&q->records);
    mem_free(q);
}

/* Time-outs, and the end of channels that nobody asks any more. */
static void on_tick(void *arg)
{
    struct dns *d = arg;
    bool newest = true;
    LIST_EACH_SAFE(it, &d->channels) {
        struct channel *c = LIST_ITEM(it, struct channel, link);
        ares_process_fd(c->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
        if (!newest && c->open == 0)
            channel_free(c);
        newest = false;
    }
    if (list_is_empty(&d->open))
        loop_timer_stop(d->tick);
}

/* --- queries -------------------------------------------------------------------------------- */

/* What the hosts file has of a name. */
static void read_hosts(struct dns_query *q, struct channel *c, const char *name)
{
    static const int families[] = {AF_INET, AF_INET6};
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        struct hostent *host = NULL;
        struct addr list[16];
        struct dns_records found = {.addrs = list};
        if (ares_gethostbyname_file(c->ares, name, families[i], &host) != ARES_SUCCESS)
            continue;
        for (char **at = host->h_addr_list; *at != NULL && found.addr_count < 16; at++) {
            struct addr a = {.family = families[i] == AF_INET ? 4 : 6};
            memcpy(a.ip, *at, (size_t)host->h_length <= sizeof a.ip ? (size_t)host->h_length : 0);
            list[found.addr_count++] = a;
        }
        ares_free_hostent(host);
        struct addr *copy = mem_dup(list, found.addr_count * sizeof *list);
        found.addrs = copy;
        if (copy != NULL)
            (void)merge(&q->records, &found);
        mem_free(found.addrs);
    }
}

static int ask(struct dns *d, struct str name, const enum dns_type *types, unsigned count,
               dns_fn fn, void *arg, struct dns_query **out)
{
    char text[DNS_NAME_MAX + 1];
    if (name.len == 0 || name.len >= sizeof text || memchr(name.data, '\0', name.len) != NULL)
        return ERR_INVAL;
    if (d->count == OPEN_MAX)
        return ERR_LIMIT;
    struct dns_query *q = mem_zalloc(sizeof *q);
    if (q == NULL)
        return ERR_NOMEM;
    memcpy(text, name.data, name.len);
    text[name.len] = '\0';
    *q = (struct dns_query){.dns = d, .fn = fn, .arg = arg, .waiting = 1};
    if (list_is_empty(&d->open)) /* else it runs: who asks on and on must not put it off */
        loop_timer_start(d->tick, TICK_MS, TICK_MS);
    d->count++;
    list_push_back(&d->open, &q->link);
    struct channel *c = channel_now(d);
    if (types[0] != DNS_SRV && !d->no_hosts)
        read_hosts(q, c, text);
    if (q->records.addr_count == 0) {
        q->asked = count;
        q->waiting += count;
        c->open += count;
        for (unsigned i = 0; i < count; i++) {
            q->parts[i] = (struct part){.query = q, .channel = c, .type = types[i], .why = ""};
            ares_search(c->ares, text, 1, (int)types[i], on_answer, &q->parts[i]);
        }
    }
    if (out != NULL)
        *out = q;
    if (--q->waiting == 0) /* answers may have come from inside */
        query_done(q);
    return 0;
}

int dns_host(struct dns *d, struct str name, dns_fn fn, void *arg, struct dns_query **out)
{
    static const enum dns_type types[] = {DNS_A, DNS_AAAA};
    return ask(d, name, types, 2, fn, arg, out);
}

int dns_service(struct dns *d, struct str name, dns_fn fn, void *arg, struct dns_query **out)
{
    static const enum dns_type types[] = {DNS_SRV};
    return ask(d, name, types, 1, fn, arg, out);
}

void dns_cancel(struct dns_query *q)
{
    q->fn = NULL;
}

/* --- life ----------------------------------------------------------------------------------- */

static void library_init(void)
{
    (void)ares_library_init(ARES_LIB_INIT_ALL);
}

static int copy_servers(struct dns *d, const struct dns_config *config, struct err *err)
{
    struct buf list = {0};
    for (size_t i = 0; i < config->server_count; i++) {
        struct addr a;
        char text[ADDR_TEXT_MAX];
        if (addr_parse(&a, str_c(config->servers[i]), 53) != 0 || a.port == 0) {
            buf_reset(&list);
            return err_set(err, ERR_INVAL, "DNS server \"%s\" is no IP address with port",
                           config->servers[i]);
        }
        buf_printf(&list, "%s%s", i == 0 ? "" : ",", addr_text(&a, text));
    }
    if (config->server_count > 0 && list.error == 0)
        d->servers = str_dup_c(buf_view(&list));
    buf_reset(&list);
    return config->server_count > 0 && d->servers == NULL ? err_set(err, ERR_NOMEM, "DNS") : 0;
}

int dns_init(struct dns **out, struct loop *l, const struct dns_config *config, struct err *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct dns *d = mem_zalloc(sizeof *d);
    if (d == NULL)
        return err_set(err, ERR_NOMEM, "DNS");
    *d = (struct dns){.loop = l,
                      .resolv_conf = config->resolv_conf,
                      .no_hosts = config->no_hosts,
                      .timeout_ms = config->timeout_ms == 0 ? TIMEOUT_MS : config->timeout_ms,
                      .look_ms = config->look_ms == 0 ? LOOK_MS : config->look_ms};
    list_init(&d->channels);
    list_init(&d->open);
    list_init(&d->done);
    pthread_once(&once, library_init);
    int rc = copy_servers(d, config, err);
    if (rc == 0 && (loop_timer_init(&d->tick, l, on_tick, d) != 0 ||
                    loop_timer_init(&d->deliver, l, on_deliver, d) != 0))
        rc = err_set(err, ERR_NOMEM, "DNS");
    if (rc == 0) {
        d->mark = mark_of(d->resolv_conf == NULL ? "/etc/resolv.conf" : d->resolv_conf);
        d->look_due = loop_now(l) + d->look_ms;
        rc = channel_add(d);
        if (rc != 0)
            (void)err_set(err, rc, "DNS: %s", err_text(rc));
    }
    if (rc != 0) {
        dns_free(&d);
        return rc;
    }
    *out = d;
    return 0;
}

void dns_free(struct dns **out)
{
    struct dns *d = *out;
    if (d == NULL)
        return;
    *out = NULL;
    LIST_EACH_SAFE(it, &d->channels) /* open questions are answered now, by "destroyed" */
        channel_free(LIST_ITEM(it, struct channel, link));
    LIST_EACH_SAFE(it, &d->open)
        query_free(LIST_ITEM(it, struct dns_query, link));
    LIST_EACH_SAFE(it, &d->done)
        query_free(LIST_ITEM(it, struct dns_query, link));
    loop_timer_free(&d->tick);
    loop_timer_free(&d->deliver);
    mem_free(d->servers);
    mem_free(d);
}
