/* net/http_host_uv.c - hosts of plain HTTP calls: their slots, kept connections and addresses. */
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "net/http_plain_priv.h"

/* --- finding ------------------------------------------------------------------------------- */

static struct list *bucket_of(struct http_plain *p, struct str name, const struct addr *a,
                              uint16_t port)
{
    struct str key = name.len > 0 ? name : str_of(a->ip, a->family == 4 ? 4 : 16);
    return &p->hosts[(str_hash(key) + port) % HTTP_BUCKETS];
}

static bool is_host(const struct http_host *h, struct str name, const struct addr *a,
                    uint16_t port)
{
    if (name.len > 0)
        return h->port == port && str_eq_nocase(str_of(h->name, h->name_len), name);
    return h->name_len == 0 && addr_eq(&h->addrs[0], a);
}

static bool is_needed(const struct http_host *h)
{
    return h->slots > 0 || !list_is_empty(&h->waiting);
}

static void host_free(struct http_host *h)
{
    if (!list_is_empty(&h->unused))
        h->plain->unused_count--;
    list_remove(&h->unused);
    list_remove(&h->link);
    if (h->query != NULL)
        dns_cancel(h->query);
    mem_free(h);
}

static int host_new(struct http_host **out, struct http_plain *p, struct str name,
                    const struct addr *a, uint16_t port)
{
    while (p->unused_count > HTTP_HOSTS_UNUSED_MAX)
        host_free(LIST_ITEM(list_first(&p->unused), struct http_host, unused));
    struct http_host *h = mem_zalloc(sizeof *h + name.len);
    if (h == NULL)
        return ERR_NOMEM;
    h->plain = p;
    h->port = port;
    h->name_len = name.len;
    if (name.len > 0) {
        memcpy(h->name, name.data, name.len);
    } else {
        h->addrs[0] = *a;
        h->addr_count = 1;
        h->good_until = MONO_NEVER;
    }
    list_init(&h->unused);
    list_init(&h->idle);
    list_init(&h->waiting);
    list_init(&h->naming);
    list_push_front(bucket_of(p, name, a, port), &h->link);
    *out = h;
    return 0;
}

int http_host_get(struct http_host **out, struct http_plain *p, const struct http_url *url,
                  const struct addr *connect_to)
{
    char low[256];
    const struct addr *a = connect_to != NULL ? connect_to : &url->addr;
    struct str name = a->family == 0 ? url->host : STR("");
    uint16_t port = a->family == 0 ? url->port : a->port;
    for (size_t i = 0; i < name.len; i++) /* it has 253 at most */
        low[i] = (char)(name.data[i] >= 'A' && name.data[i] <= 'Z' ? name.data[i] | 0x20
                                                                    : name.data[i]);
    name = str_of(low, name.len);
    struct list *bucket = bucket_of(p, name, a, port);
    LIST_EACH(at, bucket) {
        struct http_host *h = LIST_ITEM(at, struct http_host, link);
        if (!is_host(h, name, a, port))
            continue;
        if (!list_is_empty(&h->unused)) {
            list_remove(&h->unused);
            p->unused_count--;
        }
        *out = h;
        return 0;
    }
    return host_new(out, p, name, a, port);
}

void http_hosts_free(struct http_plain *p)
{
    for (size_t i = 0; i < HTTP_BUCKETS; i++)
        LIST_EACH_SAFE(at, &p->hosts[i])
            host_free(LIST_ITEM(at, struct http_host, link));
    dns_free(&p->dns);
}

/* --- slots --------------------------------------------------------------------------------- */

void http_host_take(struct http_host *h)
{
    h->slots++;
}

void http_host_give(struct http_host *h)
{
    h->slots--;
}

void http_host_serve(struct http_host *h)
{
    struct http_plain *p = h->plain;
    struct list *first;
    if (h->serving) /* a call that fails at once comes here again: not deeper for each */
        return;
    h->serving = true;
    while (!p->closing && (first = list_first(&h->waiting)) != NULL &&
           (h->slots < p->config.connections_per_host || !list_is_empty(&h->idle))) {
        list_remove(first);
        http_call_place(LIST_ITEM(first, struct plain_call, queue));
    }
    h->serving = false;
    if (!is_needed(h) && list_is_empty(&h->unused)) {
        list_push_back(&p->unused, &h->unused);
        p->unused_count++;
    }
}

/* --- connections --------------------------------------------------------------------------- */

void http_conn_keep(struct http_conn *c)
{
    struct http_plain *p = c->plain;
    c->kept = true;
    c->call = NULL;
    c->idle_due = loop_now(p->loop) + p->config.idle_ms;
    http_plain_watch(p, c->idle_due);
    list_push_front(&c->host->idle, &c->host_link);
    list_push_back(&p->idle, &c->idle_link);
    p->idle_count++;
    if (p->idle_count > p->config.idle_max) {
        struct http_conn *oldest = LIST_ITEM(list_first(&p->idle), struct http_conn, idle_link);
        struct http_host *h = oldest->host;
        http_conn_drop(oldest);
        if (h != c->host)
            http_host_serve(h);
    }
}

static void leave_idle(struct http_conn *c)
{
    if (!list_is_empty(&c->idle_link))
        c->plain->idle_count--;
    list_remove(&c->host_link);
    list_remove(&c->idle_link);
}

/* What lies in the kernel before a request is sent is no answer to it; and to a connection that has
 * ended it would go in vain. */
struct http_conn *http_conn_take(struct http_host *h)
{
    struct list *first;
    while ((first = list_first(&h->idle)) != NULL) {
        struct http_conn *c = LIST_ITEM(first, struct http_conn, host_link);
        if (tcp_is_quiet(c->tcp)) {
            leave_idle(c);
            return c;
        }
        http_conn_drop(c);
    }
    return NULL;
}

void http_conns_expire(struct http_plain *p, mono_ms now)
{
    struct list *first;
    while ((first = list_first(&p->idle)) != NULL) {
        struct http_conn *c = LIST_ITEM(first, struct http_conn, idle_link);
        struct http_host *h = c->host;
        if (c->idle_due > now) {
            http_plain_watch(p, c->idle_due);
            return;
        }
        http_conn_drop(c);
        http_host_serve(h);
    }
}

void http_conn_drop(struct http_conn *c)
{
    leave_idle(c);
    list_remove(&c->link);
    http_host_give(c->host);
    c->plain = NULL;
    c->host = NULL;
    c->call = NULL;
    tcp_close(c->tcp);
}

/* --- names --------------------------------------------------------------------------------- */

/* IPv4 first: where IPv6 is only half set up, it fails late. */
static void take_addrs(struct http_host *h, const struct dns_records *r)
{
    h->addr_count = 0;
    for (unsigned family = 4; family <= 6; family += 2)
        for (size_t i = 0; i < r->addr_count && h->addr_count < HTTP_ADDRS_MAX; i++)
            if (r->addrs[i].family == family) {
                h->addrs[h->addr_count] = r->addrs[i];
                h->addrs[h->addr_count++].port = h->port;
            }
    h->good_until = loop_now(h->plain->loop) + HTTP_NAME_GOOD_MS;
}

static void on_addrs(void *arg, const struct dns_result *r)
{
    struct http_host *h = arg;
    struct list *first;
    h->query = NULL;
    if (r->code == 0)
        take_addrs(h, r->records);
    while ((first = list_first(&h->naming)) != NULL) {
        struct plain_call *call = LIST_ITEM(first, struct plain_call, queue);
        if (r->code != 0 || h->addr_count == 0) {
            http_call_fail(call, r->code == ERR_NOMEM ? ERR_NOMEM : ERR_IO, r->why);
        } else {
            list_remove(first);
            http_call_connect(call);
        }
    }
}

int http_host_resolve(struct http_host *h, struct plain_call *call)
{
    struct http_plain *p = h->plain;
    const struct dns_config usual = {0};
    int rc = p->dns != NULL ? 0 : dns_init(&p->dns, p->loop, &usual, NULL);
    if (rc == 0 && h->query == NULL)
        rc = dns_host(p->dns, str_of(h->name, h->name_len), on_addrs, h, &h->query);
    if (rc == 0)
        list_push_back(&h->naming, &call->queue);
    return rc;
}
