/* receive-proxy/oauth_run.c - one slot a thread: a token, or a fetch and those who wait for it.
 *
 * What one thread has fetched the others take: several fetch only when they begin at once. */
#include "oauth_run.h"

#include <pthread.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "creds_run.h"
#include "net/http_client.h"
#include "oauth.msg.h"
#include "way_run.h"
#include "wire/base64.h"

enum { FETCH_MS = 10000, EARLY_MS = 10000, ANSWER_MAX = 1 << 20 };

struct slot {
    struct oauth *owner;
    const struct flow_thread *thread;
    struct buf token;  /* "Bearer ..."; empty: none */
    mono_ms good_until;
    struct list waiting; /* a fetch is under way while it is not empty */
    bool in_body;        /* the endpoint wants id and secret there */
    struct way_use way;
    struct buf body;
};

struct oauth {
    struct secret *secret;
    struct way *way;
    char *id, *url;
    struct buf form; /* grant_type, scope, endpoint_params */
    pthread_mutex_t lock; /* of the two below: what a thread fetched last, for all */
    struct buf token;
    mono_ms good_until;
    struct slot slots[FLOW_THREADS_MAX];
};

static void put_field(struct buf *out, struct str name, struct str value)
{
    if (out->size > 0)
        buf_u8(out, '&');
    http_form_encode(name, out);
    buf_u8(out, '=');
    http_form_encode(value, out);
}

int oauth_init(struct oauth **out, const struct set_oauth2 *s, struct err *err)
{
    struct buf scope = {0};
    struct oauth *o = mem_zalloc(sizeof *o);
    if (o == NULL)
        return err_set(err, ERR_NOMEM, "no memory for oauth2");
    pthread_mutex_init(&o->lock, NULL);
    for (size_t i = 0; i < FLOW_THREADS_MAX; i++) {
        o->slots[i].owner = o;
        list_init(&o->slots[i].waiting);
    }
    o->id = str_dup_c(s->client_id);
    o->url = str_dup_c(s->token_url);
    for (size_t i = 0; i < s->scopes.count; i++) {
        buf_c(&scope, i == 0 ? "" : " ");
        buf_str(&scope, s->scopes.items[i]);
    }
    put_field(&o->form, STR("grant_type"), STR("client_credentials"));
    if (scope.size > 0)
        put_field(&o->form, STR("scope"), buf_view(&scope));
    for (size_t i = 0; i < s->endpoint_params.count; i++)
        put_field(&o->form, s->endpoint_params.items[i].key, s->endpoint_params.items[i].value);
    int rc = 0;
    if (o->id == NULL || o->url == NULL || scope.error != 0 || o->form.error != 0 ||
        secret_init(&o->secret, s->client_secret, s->client_secret_file) != 0)
        rc = err_set(err, ERR_NOMEM, "no memory for oauth2");
    buf_reset(&scope);
    if (rc == 0)
        rc = way_init(&o->way, &s->tls, &s->proxy, false, s->token_url, err); /* see the header */
    if (rc != 0) {
        oauth_free(&o);
        return rc;
    }
    *out = o;
    return 0;
}

void oauth_free(struct oauth **op)
{
    struct oauth *o = *op;
    if (o == NULL)
        return;
    for (size_t i = 0; i < FLOW_THREADS_MAX; i++) {
        buf_reset(&o->slots[i].token);
        buf_reset(&o->slots[i].body);
        way_end(&o->slots[i].way);
    }
    secret_free(&o->secret);
    way_free(&o->way);
    mem_free(o->id);
    mem_free(o->url);
    buf_reset(&o->form);
    buf_reset(&o->token);
    pthread_mutex_destroy(&o->lock);
    mem_free(o);
    *op = NULL;
}

/* Tell all who wait. The last one may free everything. */
static void tell(struct slot *s, const char *error)
{
    struct list waiting;
    struct buf token = {0};
    list_init(&waiting);
    if (list_is_empty(&s->waiting))
        return;
    buf_str(&token, buf_view(&s->token));
    if (error == NULL && token.error != 0)
        error = "oauth2: no memory";
    /* Those who ask anew from inside find a slot without a fetch. */
    list_insert_after(&s->waiting, &waiting);
    list_remove(&s->waiting);
    struct list *at;
    while ((at = list_first(&waiting)) != NULL) {
        struct oauth_wait *w = LIST_ITEM(at, struct oauth_wait, link);
        list_remove(at);
        w->done(w->arg, error == NULL ? buf_view(&token) : STR(""), error);
    }
    buf_reset(&token);
}

static void copy_token(struct buf *to, mono_ms *to_until, const struct buf *from, mono_ms until)
{
    buf_reset(to);
    buf_str(to, buf_view(from));
    *to_until = to->error == 0 ? until : 0;
}

/* Let the other threads have it. */
static void give_token(const struct slot *s)
{
    struct oauth *o = s->owner;
    pthread_mutex_lock(&o->lock);
    copy_token(&o->token, &o->good_until, &s->token, s->good_until);
    pthread_mutex_unlock(&o->lock);
}

/* Take another thread's. */
static void take_token(struct slot *s, mono_ms now)
{
    struct oauth *o = s->owner;
    pthread_mutex_lock(&o->lock);
    if (o->token.size > 0 && now < o->good_until)
        copy_token(&s->token, &s->good_until, &o->token, o->good_until);
    pthread_mutex_unlock(&o->lock);
}

static bool is_good(const struct slot *s, mono_ms now)
{
    return s->token.size > 0 && s->token.error == 0 && now < s->good_until;
}

static int read_token(struct slot *s, struct str json, struct err *err)
{
    struct arena *a = NULL;
    struct oauth_v1_token t;
    if (arena_init(&a, 1024, NULL) != 0)
        return err_set(err, ERR_NOMEM, "oauth2: no memory");
    int rc = msg_from_json(&oauth_v1_token_msg, &t, json, a, NULL, err);
    if (rc == 0 && t.access_token.len == 0)
        rc = err_set(err, ERR_PARSE, "the answer has no access_token");
    if (rc == 0) {
        bool bearer = t.token_type.len == 0 || str_eq_nocase(t.token_type, STR("bearer"));
        buf_clear(&s->token);
        buf_str(&s->token, bearer ? STR("Bearer") : t.token_type);
        buf_u8(&s->token, ' ');
        buf_str(&s->token, t.access_token);
        rc = s->token.error != 0 ? err_set(err, ERR_NOMEM, "oauth2: no memory") : 0;
        int64_t live_ms = t.expires_in > INT32_MAX ? INT64_MAX / 4 : t.expires_in * 1000;
        s->good_until =
            t.expires_in <= 0 ? MONO_NEVER : clock_mono_ms() + live_ms - EARLY_MS;
    }
    if (rc != 0)
        buf_reset(&s->token);
    else
        give_token(s);
    arena_free(&a);
    return rc;
}

static int fetch(struct slot *s, struct err *err);

static void on_answer(void *arg, const struct http_result *r)
{
    struct slot *s = arg;
    struct err err = {0};
    struct buf text = {0};
    if (r->code == 0 && (r->status == 400 || r->status == 401) && !s->in_body) {
        s->in_body = true; /* it may want them there */
        if (fetch(s, &err) == 0)
            return;
    }
    if (r->code != 0)
        err_set(&err, r->code, "%s", r->message);
    else if (r->status < 200 || r->status > 299)
        err_set(&err, ERR_DENIED, "status %u: %.*s", r->status,
                STR_ARG(str_head(str_trim(r->body), 120)));
    else
        read_token(s, r->body, &err);
    if (err.code != 0 && r->code == 0 && r->status >= 400 && r->status <= 499)
        s->in_body = false; /* neither way: begin with the usual one again */
    buf_printf(&text, "oauth2: cannot fetch token: %s", err.msg);
    buf_u8(&text, '\0');
    bool good = err.code == 0, spoken = text.error == 0;
    way_end(&s->way);
    tell(s, good ? NULL : spoken ? (const char *)text.data : "oauth2: cannot fetch token");
    buf_reset(&text);
}

/* The secret of this moment, in the header or in the body. */
static int write_request(struct slot *s, struct arena *a, struct str *authorization,
                         struct err *err)
{
    struct oauth *o = s->owner;
    struct str secret;
    struct buf pair = {0}, header = {0};
    int rc = secret_get(o->secret, a, &secret, err);
    if (rc != 0)
        return rc;
    buf_clear(&s->body);
    buf_str(&s->body, buf_view(&o->form));
    if (s->in_body) {
        put_field(&s->body, STR("client_id"), str_c(o->id));
        put_field(&s->body, STR("client_secret"), secret);
        *authorization = STR("");
    } else {
        http_form_encode(str_c(o->id), &pair);
        buf_u8(&pair, ':');
        http_form_encode(secret, &pair);
        buf_c(&header, "Basic ");
        base64_put(&header, buf_view(&pair), true);
        *authorization = str_dup(a, buf_view(&header));
    }
    if (s->body.error != 0 || pair.error != 0 || header.error != 0 ||
        authorization->data == NULL)
        rc = err_set(err, ERR_NOMEM, "no memory");
    buf_reset(&pair);
    buf_reset(&header);
    return rc;
}

static int fetch(struct slot *s, struct err *err)
{
    struct oauth *o = s->owner;
    struct arena *a = NULL;
    struct http_field fields[3] = {
        {STR_INIT("Content-Type"), STR_INIT("application/x-www-form-urlencoded")},
        {STR_INIT("Accept"), STR_INIT("application/json")}};
    size_t count = 2;
    if (arena_init(&a, 1024, NULL) != 0)
        return err_set(err, ERR_NOMEM, "no memory");
    mono_ms now = clock_mono_ms();
    struct str authorization;
    int rc = write_request(s, a, &authorization, err);
    if (rc == 0) {
        if (authorization.len > 0)
            fields[count++] = (struct http_field){STR("Authorization"), authorization};
        way_begin(o->way, now, &s->way);
        struct http_ask ask = {.method = HTTP_POST,
                               .url = o->url,
                               .headers = fields,
                               .header_count = count,
                               .body = buf_view(&s->body),
                               .deadline = now + FETCH_MS,
                               .response_max = ANSWER_MAX,
                               .way = &s->way.http,
                               .done = on_answer,
                               .arg = s};
        rc = http_call_start(s->thread->client, &ask, NULL, err);
    }
    if (rc != 0)
        way_end(&s->way);
    arena_free(&a);
    return rc;
}

void oauth_get(struct oauth *o, const struct flow_thread *t, struct oauth_wait *w)
{
    struct slot *s = &o->slots[t->index];
    struct err err = {0};
    s->thread = t;
    list_init(&w->link);
    mono_ms now = clock_mono_ms();
    if (!is_good(s, now) && list_is_empty(&s->waiting))
        take_token(s, now);
    if (is_good(s, now)) {
        struct arena *a = NULL;
        int rc = arena_init(&a, 256, NULL);
        struct str header = rc == 0 ? str_dup(a, buf_view(&s->token)) : (struct str){0};
        w->done(w->arg, header, header.data == NULL ? "oauth2: no memory" : NULL);
        arena_free(&a);
        return;
    }
    bool first = list_is_empty(&s->waiting);
    list_push_back(&s->waiting, &w->link);
    if (first && fetch(s, &err) != 0) {
        char text[300];
        snprintf(text, sizeof text, "oauth2: cannot fetch token: %s", err.msg);
        tell(s, text);
    }
}

void oauth_forget(struct oauth *o, const struct flow_thread *t)
{
    struct slot *s = &o->slots[t->index];
    s->good_until = 0;
    pthread_mutex_lock(&o->lock);
    if (str_eq(buf_view(&o->token), buf_view(&s->token)))
        o->good_until = 0;
    pthread_mutex_unlock(&o->lock);
}
