/* receive-proxy/endpoint_run.c - an endpoint out of its settings. */
#include "endpoint_run.h"

#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/mem.h"
#include "creds_run.h"
#include "endpoint_parts.h"
#include "wire/hash.h"

/* So long a client waits for attempts when a queue goes on with them anyway. */
enum { QUEUE_TRIES_MS = 5000 };

static int keep(struct endpoint *e, struct str s, struct str *out)
{
    *out = str_dup(e->arena, s);
    return out->data == NULL ? ERR_NOMEM : 0;
}

static size_t find_any(struct str s, const char *set)
{
    for (size_t i = 0; i < s.len; i++)
        if (strchr(set, s.data[i]) != NULL)
            return i;
    return s.len;
}

/* Entry of discovery that a host stands for, "" for a plain one; *host loses its prefix. */
static struct str entry_of(struct str *host)
{
    static const char *const kinds[] = {"dns+", "dnssrv+", "dnssrvnoa+"};
    struct str entry = *host;
    if (str_eq(*host, STR("ring")))
        return entry;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (str_starts_with(*host, str_c(kinds[i]))) {
            *host = str_skip(*host, strlen(kinds[i]));
            return entry;
        }
    return STR("");
}

/* http://user@host:port/prefix?query into its parts; the query goes, as at the peer. */
static int split_url(struct endpoint *e, struct str url, struct str *entry, struct str *user,
                     struct err *err)
{
    size_t scheme = str_starts_with(url, STR("https://")) ? 8 : 7;
    struct str rest = str_skip(url, scheme);
    size_t end = find_any(rest, "/?#");
    struct str authority = str_head(rest, end), path = str_skip(rest, end);
    path = str_head(path, find_any(path, "?#"));
    while (str_ends_with(path, STR("/")))
        path.len--;
    size_t at = str_rfind(authority, '@');
    *user = at == SIZE_MAX ? STR("") : str_head(authority, at);
    struct str host = at == SIZE_MAX ? authority : str_skip(authority, at + 1);
    *entry = entry_of(&host);
    if (host.len == 0)
        return err_set(err, ERR_INVAL, "url \"%.100s\" has no host", e->url);
    if (keep(e, str_head(url, scheme), &e->scheme) != 0 ||
        keep(e, host, &e->host) != 0 || keep(e, path, &e->prefix) != 0 ||
        keep(e, *entry, entry) != 0)
        return err_set(err, ERR_NOMEM, "no memory for an endpoint");
    return 0;
}

static int copy_headers(struct endpoint *e, const struct set_endpoint *s)
{
    size_t n = s->headers.count;
    for (size_t i = 0; i < s->http_headers.count; i++)
        n += s->http_headers.items[i].values.count;
    e->headers = arena_calloc(e->arena, n + 1, sizeof *e->headers);
    if (e->headers == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < s->headers.count; i++) {
        struct http_field *f = &e->headers[e->header_count++];
        if (keep(e, s->headers.items[i].key, &f->name) != 0 ||
            keep(e, s->headers.items[i].value, &f->value) != 0)
            return ERR_NOMEM;
    }
    for (size_t i = 0; i < s->http_headers.count; i++) {
        const struct alloy_pair_strs *p = &s->http_headers.items[i];
        for (size_t k = 0; k < p->values.count; k++) {
            struct http_field *f = &e->headers[e->header_count++];
            if (keep(e, p->key, &f->name) != 0 || keep(e, p->values.items[k], &f->value) != 0)
                return ERR_NOMEM;
        }
    }
    return 0;
}

/* One half of a URL's userinfo; NULL data: no memory. */
static struct str decode(struct endpoint *e, struct str s)
{
    char *text = arena_alloc(e->arena, s.len + 1);
    return text == NULL ? (struct str){0} : str_of(text, http_percent_decode(s, false, text));
}

static int set_auth(struct endpoint *e, const struct set_endpoint *s, struct str user,
                    struct err *err)
{
    struct str text = STR(""), file = STR(""), name = STR("Bearer");
    if (s->oauth2.given) {
        e->auth = AUTH_OAUTH2;
        return oauth_init(&e->oauth, &s->oauth2, err);
    }
    if (s->basic_auth.given) {
        e->auth = AUTH_BASIC;
        name = s->basic_auth.username;
        text = s->basic_auth.password;
        file = s->basic_auth.password_file;
    } else if (s->authorization.given) {
        e->auth = AUTH_TYPED;
        name = str_trim(s->authorization.type);
        name = name.len == 0 ? STR("Bearer") : name;
        text = s->authorization.credentials;
        file = s->authorization.credentials_file;
    } else if (s->bearer_token.len + s->bearer_token_file.len > 0) {
        e->auth = AUTH_TYPED;
        text = s->bearer_token;
        file = s->bearer_token_file;
    } else if (user.len > 0) {
        e->auth = AUTH_BASIC;
        size_t colon = str_find(user, ':');
        name = decode(e, str_head(user, colon == SIZE_MAX ? user.len : colon));
        text = colon == SIZE_MAX ? STR("") : decode(e, str_skip(user, colon + 1));
        if (name.data == NULL || text.data == NULL)
            return err_set(err, ERR_NOMEM, "no memory for an endpoint");
    }
    if (keep(e, name, &e->auth_name) != 0 || secret_init(&e->secret, text, file) != 0)
        return err_set(err, ERR_NOMEM, "no memory for an endpoint");
    return 0;
}

static uint32_t to_u32(int64_t v)
{
    return v < 0 ? 0 : v > INT32_MAX ? INT32_MAX : (uint32_t)v;
}

static void set_policy(struct endpoint *e, const struct set_endpoint *s,
                       const struct set_write *write)
{
    e->better_codes = write->status_passthrough;
    e->policy = (struct retry_policy){.attempt_ms = to_u32(s->remote_timeout_ms),
                                      .min_backoff_ms = to_u32(s->min_backoff_ms),
                                      .max_backoff_ms = to_u32(s->max_backoff_ms),
                                      .attempts_max = to_u32(s->max_backoff_retries),
                                      .retry_429 = s->retry_on_http_429,
                                      .better_codes = write->status_passthrough,
                                      .honour_after = write->forward_headers,
                                      .budget = write->deadline_budget,
                                      .tries_ms = write->queue.enabled ? QUEUE_TRIES_MS : 0};
}

static void set_metrics(struct endpoint *e, struct str id, struct str path)
{
    const struct write_metrics *m = e->world->metrics;
    struct str url = str_c(e->url);
    e->sent_bytes = COUNTER_AT(m->sent_bytes, id, path, url);
    e->dropped_bytes = COUNTER_AT(m->dropped_bytes, id, path, url);
    e->sent_profiles = COUNTER_AT(m->sent_profiles, id, path, url);
    e->dropped_profiles = COUNTER_AT(m->dropped_profiles, id, path, url);
    e->retries = COUNTER_AT(m->retries, id, path, url);
    e->attempt_latency[FLOW_PUSH] =
        HISTOGRAM_AT(m->latency, id, path, url, STR("push_downstream"));
    e->attempt_latency[FLOW_INGEST] =
        HISTOGRAM_AT(m->latency, id, path, url, STR("ingest_downstream"));
    e->latency[FLOW_PUSH] = HISTOGRAM_AT(m->latency, id, path, url, STR("push_endpoint"));
    e->latency[FLOW_INGEST] = HISTOGRAM_AT(m->latency, id, path, url, STR("ingest_endpoint"));
}

static void on_addresses(void *arg, const struct addr *addrs, size_t count)
{
    struct endpoint *e = arg;
    pthread_mutex_lock(&e->lock);
    int rc = balance_set(e->balance, addrs, count);
    pthread_mutex_unlock(&e->lock);
    if (rc != 0)
        log_line(e->world->log, LOG_WARN, "no memory for addresses", LOG_C("endpoint", e->url));
}

static int watch_addresses(struct endpoint *e, struct str entry, struct err *err)
{
    if (entry.len == 0)
        return 0;
    struct finder *f = e->world->finder;
    if (f == NULL)
        return err_set(err, ERR_INVAL, "url %s: nothing here can look up %.*s", e->url,
                       STR_ARG(entry));
    e->by_address = str_eq(entry, STR("ring"));
    if (balance_init(&e->balance) != 0)
        return err_set(err, ERR_NOMEM, "no memory for an endpoint");
    e->finder = f;
    return f->watch(f, &e->watch, entry, on_addresses, e, err);
}

static int keep_url(struct endpoint *e, struct str url)
{
    struct str copy = {0};
    struct buf shown = {0};
    set_put_url(url, &shown);
    int rc = shown.error != 0 ? shown.error : keep(e, buf_view(&shown), &copy);
    e->url = copy.data;
    buf_reset(&shown);
    return rc;
}

static int fill(struct endpoint *e, const struct set_endpoint *s, const struct set_write *write,
                struct err *err)
{
    struct str entry, user, names[2] = {s->name, s->url};
    if (keep_url(e, s->url) != 0 || copy_headers(e, s) != 0)
        return err_set(err, ERR_NOMEM, "no memory for an endpoint");
    e->key = hash_xxh64(names[1], hash_xxh64(names[0], 0));
    set_policy(e, s, write);
    int rc = split_url(e, s->url, &entry, &user, err);
    if (rc == 0)
        rc = way_init(&e->way, &s->tls, &s->proxy, s->follow_redirects, s->url, err);
    if (rc == 0)
        rc = set_auth(e, s, user, err);
    return rc == 0 ? watch_addresses(e, entry, err) : rc;
}

int endpoint_init(struct endpoint **out, const struct set_endpoint *s,
                  const struct set_write *write, struct str id, struct str path,
                  const struct write_world *world, struct err *err)
{
    int rc = set_endpoint_check(s, err);
    if (rc != 0)
        return rc;
    struct endpoint *e = mem_zalloc(sizeof *e);
    if (e == NULL || arena_init(&e->arena, 1024, NULL) != 0) {
        mem_free(e);
        return err_set(err, ERR_NOMEM, "no memory for an endpoint");
    }
    atomic_init(&e->refs, 1);
    pthread_mutex_init(&e->lock, NULL);
    e->world = world;
    rc = fill(e, s, write, err);
    if (rc != 0) {
        endpoint_release(e);
        return rc;
    }
    set_metrics(e, id, path);
    *out = e;
    return 0;
}

struct endpoint *endpoint_retain(struct endpoint *e)
{
    ASSERT(atomic_fetch_add_explicit(&e->refs, 1, memory_order_relaxed) > 0);
    return e;
}

void endpoint_release(struct endpoint *e)
{
    if (e == NULL || atomic_fetch_sub_explicit(&e->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (e->watch != NULL)
        e->finder->unwatch(e->finder, e->watch);
    balance_free(&e->balance);
    pthread_mutex_destroy(&e->lock);
    oauth_free(&e->oauth);
    secret_free(&e->secret);
    way_free(&e->way);
    arena_free(&e->arena);
    mem_free(e);
}

uint64_t endpoint_key(const struct endpoint *e)
{
    return e->key;
}

const char *endpoint_url(const struct endpoint *e)
{
    return e->url;
}

const struct retry_policy *endpoint_policy(const struct endpoint *e)
{
    return &e->policy;
}

bool endpoint_is_failing(const struct endpoint *e)
{
    return atomic_load_explicit(&e->failures, memory_order_relaxed) >= ENDPOINT_FAILING_AFTER;
}

bool endpoint_is_doubtful(const struct endpoint *e)
{
    return atomic_load_explicit(&e->failures, memory_order_relaxed) > 0;
}

void endpoint_status(struct endpoint *e, struct endpoint_status *out)
{
    pthread_mutex_lock(&e->lock);
    *out = e->status;
    pthread_mutex_unlock(&e->lock);
    out->url = e->url;
    out->failing = endpoint_is_failing(e);
}

void endpoint_expect_failure(struct endpoint *e)
{
    unsigned none = 0;
    if (!atomic_compare_exchange_strong(&e->failures, &none, ENDPOINT_FAILING_AFTER))
        return;
    pthread_mutex_lock(&e->lock);
    e->status.since = clock_wall_ms();
    pthread_mutex_unlock(&e->lock);
    log_line(e->world->log, LOG_INFO, "requests wait for the endpoint: the queue tries it",
             LOG_C("endpoint", e->url));
}

void endpoint_count_dropped(struct endpoint *e, uint64_t bytes, uint64_t profiles)
{
    counter_add(e->dropped_bytes, bytes);
    counter_add(e->dropped_profiles, profiles);
}

void endpoint_dropped(struct endpoint *e, enum flow_kind kind, uint64_t bytes, uint64_t profiles,
                      uint32_t attempts, struct str message)
{
    endpoint_count_dropped(e, bytes, profiles);
    log_line(e->world->log, LOG_WARN,
             kind == FLOW_PUSH ? "failed to push to endpoint" : "failed to ingest to endpoint",
             LOG_C("endpoint", e->url), LOG_U("retries", attempts == 0 ? 0 : attempts - 1),
             LOG_S("err", message));
}
