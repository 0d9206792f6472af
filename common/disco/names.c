/* disco/names.c - the entries, the questions that are out, and the addresses in force. */
#include "disco/names.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"

enum { ASKED_MAX = 16, FRESH_MS = 1000, LOGGED_ADDRS = 8 };

/* A host whose addresses belong to an entry. */
struct target {
    char name[DNS_NAME_MAX];
    uint16_t port;
};

struct item {
    struct disco_entry entry;
    char *text;
    enum names_state state;
    const char *why;
    struct addr *addrs;
    size_t count;
    mono_ms due, answered;
    uint32_t backoff_ms;
    /* the look-up under way */
    bool running;
    bool ask_service;    /* still to be asked */
    unsigned waiting;    /* questions without an answer */
    struct target *targets;
    size_t target_count, target_at; /* the next one to ask */
    struct addr *fresh;
    size_t fresh_count, fresh_cap;
    int code; /* the first failure */
    const char *code_why;
    const char *skipped; /* why a target was left out; NULL: none was */
};

struct question {
    uint64_t tag; /* 0: free */
    struct item *item;
    struct target host; /* not of a service */
    bool service;
};

struct names {
    struct names_config cfg;
    struct rng *rng;
    const struct log *log;
    struct item **items;
    size_t count, cap;
    struct question asked[ASKED_MAX];
    uint64_t last_tag, generation;
    struct names_stats stats;
};

/* --- life ----------------------------------------------------------------------------------- */

int names_init(struct names **out, const struct names_config *config, struct rng *rng,
               const struct log *log)
{
    if (config->refresh_ms == 0 || config->retry_min_ms == 0 ||
        config->retry_max_ms < config->retry_min_ms)
        return ERR_INVAL;
    struct names *n = mem_zalloc(sizeof *n);
    if (n == NULL)
        return ERR_NOMEM;
    *n = (struct names){.cfg = *config, .rng = rng, .log = log};
    *out = n;
    return 0;
}

static void item_free(struct item *i)
{
    mem_free(i->text);
    mem_free(i->addrs);
    mem_free(i->targets);
    mem_free(i->fresh);
    mem_free(i);
}

void names_free(struct names **out)
{
    struct names *n = *out;
    if (n == NULL)
        return;
    for (size_t i = 0; i < n->count; i++)
        item_free(n->items[i]);
    mem_free(n->items);
    mem_free(n);
    *out = NULL;
}

static int add_one(struct names *n, struct str text, struct err *err)
{
    struct disco_entry entry;
    int rc = disco_entry_parse(&entry, text, n->cfg.default_port, err);
    if (rc != 0)
        return rc;
    if (n->count == NAMES_ENTRIES_MAX)
        return err_set(err, ERR_LIMIT, "more than %d entries", NAMES_ENTRIES_MAX);
    if (n->count == n->cap) {
        size_t cap = n->cap == 0 ? 8 : n->cap * 2;
        struct item **items = mem_realloc_array(n->items, cap, sizeof *items);
        if (items == NULL)
            return err_set(err, ERR_NOMEM, "names");
        n->items = items;
        n->cap = cap;
    }
    struct item *i = mem_zalloc(sizeof *i);
    if (i == NULL || (i->text = str_dup_c(text)) == NULL) {
        mem_free(i);
        return err_set(err, ERR_NOMEM, "names");
    }
    i->entry = entry;
    i->why = "";
    i->backoff_ms = n->cfg.retry_min_ms;
    if (entry.kind == DISCO_ADDR) {
        i->addrs = mem_dup(&entry.addr, sizeof entry.addr);
        if (i->addrs == NULL) {
            item_free(i);
            return err_set(err, ERR_NOMEM, "names");
        }
        i->count = 1;
        i->state = NAMES_FOUND;
        i->due = MONO_NEVER;
    }
    n->items[n->count++] = i;
    n->generation++;
    return 0;
}

int names_add(struct names *n, struct str text, struct err *err)
{
    int rc = 0;
    for (struct str rest = text, part; rc == 0 && str_cut(&rest, ',', &part);) {
        part = str_trim(part);
        if (part.len > 0)
            rc = add_one(n, part, err);
    }
    return rc;
}

/* --- the end of a look-up ------------------------------------------------------------------- */

static int by_addr(const void *a, const void *b)
{
    const struct addr *x = a, *y = b;
    if (x->family != y->family)
        return x->family - y->family;
    int order = memcmp(x->ip, y->ip, sizeof x->ip);
    return order != 0 ? order : (x->port > y->port) - (x->port < y->port);
}

/* Sort the fresh addresses, each once, at most as many as an entry may have. */
static void tidy_fresh(struct item *i)
{
    size_t kept = 0;
    if (i->fresh_count > 1)
        qsort(i->fresh, i->fresh_count, sizeof *i->fresh, by_addr);
    for (size_t k = 0; k < i->fresh_count; k++)
        if (kept == 0 || !addr_eq(&i->fresh[k], &i->fresh[kept - 1]))
            i->fresh[kept++] = i->fresh[k];
    i->fresh_count = kept < NAMES_ADDRS_MAX ? kept : NAMES_ADDRS_MAX;
}

static bool same_addrs(const struct item *i)
{
    if (i->count != i->fresh_count)
        return false;
    for (size_t k = 0; k < i->count; k++)
        if (!addr_eq(&i->addrs[k], &i->fresh[k]))
            return false;
    return true;
}

static void log_found(const struct names *n, const struct item *i)
{
    struct buf text = {0};
    char one[ADDR_TEXT_MAX];
    for (size_t k = 0; k < i->count && k < LOGGED_ADDRS; k++)
        buf_printf(&text, "%s%s", k == 0 ? "" : " ", addr_text(&i->addrs[k], one));
    if (i->count > LOGGED_ADDRS)
        buf_c(&text, " ...");
    log_line(n->log, LOG_INFO, "name looked up", LOG_C("entry", i->text),
             LOG_U("addresses", i->count), LOG_S("are", buf_view(&text)));
    buf_reset(&text);
}

/* Take a new state; tell when it, or its reason, is another than before. */
static void set_state(struct names *n, struct item *i, enum names_state state, const char *why,
                      bool addrs_changed)
{
    bool changed = i->state != state || strcmp(i->why, why) != 0;
    i->state = state;
    i->why = why;
    if (!changed && !addrs_changed)
        return;
    n->generation++;
    if (state == NAMES_FOUND)
        log_found(n, i);
    else if (state == NAMES_EMPTY)
        log_line(n->log, LOG_WARN, "name has no addresses", LOG_C("entry", i->text),
                 LOG_C("why", why));
    else
        log_line(n->log, LOG_WARN,
                 i->count > 0 ? "name cannot be looked up, its last addresses stay in use"
                              : "name cannot be looked up",
                 LOG_C("entry", i->text), LOG_C("why", why), LOG_U("addresses", i->count));
}

/* A time that is up to a tenth sooner, so that members do not ask together. */
static mono_ms jittered(struct names *n, uint32_t ms)
{
    return (mono_ms)(ms - rng_below(n->rng, (uint64_t)ms / 10 + 1));
}

static void finish(struct names *n, struct item *i, mono_ms now)
{
    bool changed = false;
    tidy_fresh(i);
    if (i->code == 0 && i->fresh_count == 0 && i->skipped != NULL) {
        i->code = ERR_UNAVAILABLE; /* nothing but left out targets is no answer */
        i->code_why = i->skipped;
    }
    i->running = false;
    i->answered = now;
    if (i->code == 0) {
        changed = !same_addrs(i);
        mem_free(i->addrs);
        i->addrs = i->fresh;
        i->count = i->fresh_count;
        i->fresh = NULL;
        set_state(n, i, i->count > 0 ? NAMES_FOUND : NAMES_EMPTY,
                  i->count > 0 ? "" : i->code_why, changed);
    } else {
        n->stats.failures++;
        set_state(n, i, NAMES_FAILED, i->code_why, false);
    }
    mem_free(i->fresh);
    mem_free(i->targets);
    i->fresh = NULL;
    i->targets = NULL;
    i->fresh_count = i->fresh_cap = i->target_count = 0;
    if (i->state == NAMES_FOUND) {
        i->backoff_ms = n->cfg.retry_min_ms;
        i->due = now + jittered(n, n->cfg.refresh_ms);
        return;
    }
    i->due = now + jittered(n, i->backoff_ms);
    i->backoff_ms = i->backoff_ms < n->cfg.retry_max_ms / 2 ? i->backoff_ms * 2
                                                            : n->cfg.retry_max_ms;
}

/* --- asking --------------------------------------------------------------------------------- */

static int add_target(struct item *i, const char *name, uint16_t port)
{
    struct target *targets =
        mem_realloc_array(i->targets, i->target_count + 1, sizeof *targets);
    if (targets == NULL)
        return ERR_NOMEM;
    i->targets = targets;
    struct target *t = &targets[i->target_count++];
    *t = (struct target){.port = port};
    memcpy(t->name, name, strnlen(name, DNS_NAME_MAX - 1));
    return 0;
}

static void begin(struct names *n, struct item *i)
{
    i->running = true;
    i->waiting = 0;
    i->code = 0;
    i->code_why = "no addresses";
    i->skipped = NULL;
    i->target_at = 0;
    i->ask_service = i->entry.kind != DISCO_HOST;
    n->stats.lookups++;
    if (!i->ask_service && add_target(i, i->entry.name, i->entry.port) != 0) {
        i->code = ERR_NOMEM;
        i->code_why = "out of memory";
    }
}

static bool item_asks(const struct item *i)
{
    return i->running && (i->ask_service || i->target_at < i->target_count);
}

static struct question *free_question(struct names *n)
{
    for (size_t k = 0; k < ASKED_MAX; k++)
        if (n->asked[k].tag == 0)
            return &n->asked[k];
    return NULL;
}

bool names_next(struct names *n, mono_ms now, struct names_ask *out)
{
    struct question *q = free_question(n);
    for (size_t k = 0; q != NULL && k < n->count; k++) {
        struct item *i = n->items[k];
        if (!i->running && i->due <= now) {
            begin(n, i);
            if (i->code != 0)
                finish(n, i, now);
        }
        if (!item_asks(i))
            continue;
        *q = (struct question){.tag = ++n->last_tag, .item = i, .service = i->ask_service};
        if (!q->service)
            q->host = i->targets[i->target_at++];
        i->ask_service = false;
        i->waiting++;
        *out = (struct names_ask){q->tag, q->service, q->service ? i->entry.name : q->host.name};
        return true;
    }
    return false;
}

mono_ms names_due(const struct names *n)
{
    mono_ms due = MONO_NEVER;
    bool full = true;
    for (size_t k = 0; k < ASKED_MAX; k++)
        full = full && n->asked[k].tag != 0;
    for (size_t k = 0; !full && k < n->count; k++) {
        const struct item *i = n->items[k];
        mono_ms at = item_asks(i) ? 0 : i->running ? MONO_NEVER : i->due;
        due = at < due ? at : due;
    }
    return due;
}

/* --- answers -------------------------------------------------------------------------------- */

/* One that a peer can have: not unspecified (which is what servers that block a name answer, and
 * which would be ourselves) and no multicast. */
static bool is_usable(const struct addr *a)
{
    static const uint8_t zero[16];
    if (a->family == 4)
        return memcmp(a->ip, zero, 4) != 0 && a->ip[0] < 224;
    return memcmp(a->ip, zero, 16) != 0 && a->ip[0] != 0xff;
}

static int add_fresh(struct item *i, const struct addr *a, uint16_t port)
{
    if (!is_usable(a))
        return 0;
    if (i->fresh_count == (size_t)NAMES_ADDRS_MAX * 4)
        return 0; /* hostile or absurd: enough of it */
    if (i->fresh_count == i->fresh_cap) {
        size_t cap = i->fresh_cap == 0 ? 8 : i->fresh_cap * 2;
        struct addr *fresh = mem_realloc_array(i->fresh, cap, sizeof *fresh);
        if (fresh == NULL)
            return ERR_NOMEM;
        i->fresh = fresh;
        i->fresh_cap = cap;
    }
    i->fresh[i->fresh_count] = *a;
    i->fresh[i->fresh_count++].port = port;
    return 0;
}

static bool has_target(const struct item *i, const char *name, uint16_t port)
{
    for (size_t k = 0; k < i->target_count; k++)
        if (i->targets[k].port == port && strcmp(i->targets[k].name, name) == 0)
            return true;
    return false;
}

/* Targets of a service: those whose addresses came along need no question. */
static int take_service(struct item *i, const struct dns_records *records)
{
    int rc = 0;
    for (size_t k = 0; rc == 0 && k < records->srv_count; k++) {
        const struct dns_srv *s = &records->srvs[k];
        uint16_t port = i->entry.port != 0 ? i->entry.port : s->port;
        for (uint32_t a = 0; rc == 0 && a < s->addr_count; a++)
            rc = add_fresh(i, &records->addrs[s->addr_first + a], port);
        if (s->addr_count == 0 && !has_target(i, s->target, port))
            rc = add_target(i, s->target, port);
    }
    return rc;
}

static int take_host(struct item *i, const struct target *host, const struct dns_records *records)
{
    int rc = 0;
    for (size_t k = 0; rc == 0 && k < records->addr_count; k++)
        rc = add_fresh(i, &records->addrs[k], host->port);
    return rc;
}

static void take(struct item *i, const struct question *q, int code, const char *why,
                 const struct dns_records *records)
{
    bool optional = !q->service && i->entry.kind == DISCO_SRV_NOA;
    if (code == 0 && q->service)
        code = take_service(i, records);
    else if (code == 0)
        code = take_host(i, &q->host, records);
    if (code == ERR_NOMEM)
        why = "out of memory";
    if (code == ERR_NOENT && (q->service || i->entry.kind == DISCO_HOST))
        i->code_why = why;
    if (code != 0 && code != ERR_NOENT && optional)
        i->skipped = why;
    else if (code != 0 && code != ERR_NOENT && i->code == 0) {
        i->code = code;
        i->code_why = why;
        i->target_at = i->target_count; /* the rest need not be asked */
    }
}

void names_answer(struct names *n, uint64_t tag, int code, const char *why,
                  const struct dns_records *records, mono_ms now)
{
    struct question *q = NULL;
    for (size_t k = 0; tag != 0 && k < ASKED_MAX; k++)
        if (n->asked[k].tag == tag)
            q = &n->asked[k];
    if (q == NULL)
        return;
    struct item *i = q->item;
    i->waiting--;
    take(i, q, code, why, records);
    q->tag = 0;
    if (i->waiting == 0 && !item_asks(i))
        finish(n, i, now);
}

void names_refresh(struct names *n, mono_ms now)
{
    for (size_t k = 0; k < n->count; k++) {
        struct item *i = n->items[k];
        bool old = i->state == NAMES_PENDING || i->answered + FRESH_MS <= now;
        if (i->entry.kind != DISCO_ADDR && !i->running && old && i->due > now)
            i->due = now;
    }
}

/* --- for others ----------------------------------------------------------------------------- */

size_t names_count(const struct names *n)
{
    return n->count;
}

struct names_view names_at(const struct names *n, size_t k)
{
    const struct item *i = n->items[k];
    return (struct names_view){i->text, i->state, i->why, i->addrs, i->count};
}

uint64_t names_generation(const struct names *n)
{
    return n->generation;
}

struct names_stats names_stats(const struct names *n)
{
    return n->stats;
}

bool names_settled(const struct names *n)
{
    for (size_t k = 0; k < n->count; k++)
        if (n->items[k]->state == NAMES_PENDING)
            return false;
    return true;
}
