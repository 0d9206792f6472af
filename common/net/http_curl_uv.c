/* net/http_curl_uv.c - calls by libcurl's multi interface on a loop.
 *
 * It is long, since curl's callbacks, the life of a call and its deadline share one state.
 *
 * curl tells which sockets it waits for and when it wants to be woken; libuv does both. Handles are
 * kept for the next call. Nothing is taken out of the multi handle inside one of curl's callbacks,
 * which it forbids. */
#include "net/http_client_priv.h"

#include <pthread.h>
#include <string.h>
#include <uv.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/list.h"
#include "base/mem.h"
#include "net/loop_priv.h"

enum {
    HEADERS_MAX = 64,
    HEADER_BYTES_MAX = 64 * 1024,
    KEPT_MAX = 64,
    UPLOAD_BYTES = 128 * 1024,
    OVERDUE_MS = 20, /* after its deadline a call that curl has not ended is ended here */
};

struct http_curl {
    struct loop *loop;
    CURLM *multi;
    uv_timer_t timer;
    uv_timer_t overdue; /* curl has no eye on the time of calls that wait for a connection */
    mono_ms overdue_at; /* when it looks; MONO_NEVER: not armed */
    unsigned refs; /* the client, its two timers, and a socket each */
    bool closing;
    struct http_client_config config;
    struct list calls; /* under way */
    struct list kept;  /* call structs with an easy handle, for reuse */
    unsigned inflight, kept_count;
};

struct curl_call {
    struct http_call call;
    struct list link;
    struct http_curl *client;
    CURL *easy;
    struct http_call_lists lists;
    struct buf body, head; /* head: header lines, each name NUL value NUL */
    unsigned header_count;
    size_t response_max;
    mono_ms deadline;
    http_result_fn done;
    void *arg;
    bool too_large, is_post;
    char error[CURL_ERROR_SIZE];
};

struct sock {
    uv_poll_t poll;
    curl_socket_t fd;
    struct http_curl *client;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void global_init(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

/* --- sockets and time ---------------------------------------------------------------------- */

static void client_unref(struct http_curl *c)
{
    if (--c->refs == 0)
        mem_free(c);
}

static void check(struct http_curl *c);

static void on_socket(uv_poll_t *poll, int status, int events)
{
    struct sock *s = poll->data;
    struct http_curl *c = s->client;
    int running, flags = 0;
    if (status < 0)
        flags = CURL_CSELECT_ERR;
    if (events & UV_READABLE)
        flags |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE)
        flags |= CURL_CSELECT_OUT;
    curl_multi_socket_action(c->multi, s->fd, flags, &running);
    check(c);
}

static void on_timer(uv_timer_t *timer)
{
    struct http_curl *c = timer->data;
    int running;
    curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    check(c);
}

static int want_timer(CURLM *multi, long ms, void *arg)
{
    struct http_curl *c = arg;
    (void)multi;
    if (c->closing || ms < 0) {
        uv_timer_stop(&c->timer);
    } else {
        uv_update_time(loop_uv(c->loop));
        uv_timer_start(&c->timer, on_timer, (uint64_t)ms, 0);
    }
    return 0;
}

static void on_socket_closed(uv_handle_t *h)
{
    struct sock *s = h->data;
    client_unref(s->client);
    mem_free(s);
}

static void on_timer_closed(uv_handle_t *h)
{
    client_unref(h->data);
}

static int want_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    struct http_curl *c = arg;
    struct sock *s = socket_arg;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (s != NULL) {
            curl_multi_assign(c->multi, fd, NULL);
            uv_poll_stop(&s->poll);
            uv_close((uv_handle_t *)&s->poll, on_socket_closed);
        }
        return 0;
    }
    if (s == NULL) {
        s = mem_zalloc(sizeof *s);
        if (s == NULL || uv_poll_init_socket(loop_uv(c->loop), &s->poll, fd) != 0) {
            mem_free(s);
            return -1; /* curl ends the transfer */
        }
        s->fd = fd;
        s->client = c;
        s->poll.data = s;
        c->refs++;
        curl_multi_assign(c->multi, fd, s);
    }
    int events = (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
    uv_poll_start(&s->poll, events, on_socket);
    return 0;
}

/* --- one call ------------------------------------------------------------------------------ */

static size_t on_body(char *data, size_t one, size_t size, void *arg)
{
    struct curl_call *call = arg;
    (void)one;
    if (size > call->response_max - call->body.size) {
        call->too_large = true;
        return 0;
    }
    buf_put(&call->body, data, size);
    return call->body.error == 0 ? size : 0;
}

static size_t on_header(char *data, size_t one, size_t size, void *arg)
{
    struct curl_call *call = arg;
    (void)one;
    struct str line = str_trim(str_of(data, size)), name;
    if (str_starts_with(line, STR("HTTP/"))) { /* a new answer: what came before was a 100 */
        buf_clear(&call->head);
        call->header_count = 0;
        return size;
    }
    if (str_find(line, ':') == SIZE_MAX || call->header_count == HEADERS_MAX ||
        call->head.size + line.len > HEADER_BYTES_MAX)
        return size;
    str_cut(&line, ':', &name);
    line = str_trim(line);
    buf_str(&call->head, name);
    buf_u8(&call->head, '\0');
    buf_str(&call->head, line);
    buf_u8(&call->head, '\0');
    if (call->head.error != 0)
        return 0;
    call->header_count++;
    return size;
}

static void free_lists(struct curl_call *call)
{
    curl_slist_free_all(call->lists.headers);
    curl_slist_free_all(call->lists.proxy_headers);
    curl_slist_free_all(call->lists.connect_to);
    call->lists = (struct http_call_lists){NULL, NULL, NULL};
}

static void call_free(struct curl_call *call)
{
    if (call->easy != NULL)
        curl_easy_cleanup(call->easy);
    free_lists(call);
    buf_reset(&call->body);
    buf_reset(&call->head);
    mem_free(call);
}

/* Take a call out of the multi handle and keep or free it. */
static void call_end(struct curl_call *call)
{
    struct http_curl *c = call->client;
    curl_multi_remove_handle(c->multi, call->easy);
    list_remove(&call->link);
    c->inflight--;
    free_lists(call);
    buf_reset(&call->body);
    if (c->closing || c->kept_count >= KEPT_MAX) {
        call_free(call);
        return;
    }
    curl_easy_reset(call->easy);
    buf_clear(&call->head);
    list_push_front(&c->kept, &call->link);
    c->kept_count++;
}

static int code_of_curl(const struct curl_call *call, CURLcode code)
{
    if (call->too_large)
        return ERR_LIMIT;
    if (call->body.error != 0 || call->head.error != 0)
        return ERR_NOMEM;
    if (code == CURLE_OK)
        return 0;
    if (code == CURLE_OPERATION_TIMEDOUT)
        return ERR_TIMEOUT;
    if (code == CURLE_COULDNT_CONNECT)
        return ERR_REFUSED;
    if (code == CURLE_PARTIAL_FILE || code == CURLE_GOT_NOTHING || code == CURLE_RECV_ERROR ||
        code == CURLE_SEND_ERROR)
        return ERR_CLOSED;
    if (code == CURLE_FILESIZE_EXCEEDED)
        return ERR_LIMIT;
    if (code == CURLE_URL_MALFORMAT)
        return ERR_INVAL;
    if (code == CURLE_OUT_OF_MEMORY)
        return ERR_NOMEM;
    return ERR_IO;
}

static void read_fields(const struct curl_call *call, struct http_field *fields)
{
    const char *at = (const char *)call->head.data;
    for (unsigned i = 0; i < call->header_count; i++) {
        fields[i].name = str_c(at);
        at += fields[i].name.len + 1;
        fields[i].value = str_c(at);
        at += fields[i].value.len + 1;
    }
}

/* 301, 302 and 303 make a GET of a POST: what answers that, a login page say, has not got our
 * body. */
static bool has_lost_its_body(const struct curl_call *call)
{
    char *method = NULL;
    curl_easy_getinfo(call->easy, CURLINFO_EFFECTIVE_METHOD, &method);
    return call->is_post && method != NULL && strcmp(method, "POST") != 0;
}

static void report(struct curl_call *call, CURLcode code)
{
    struct http_field fields[HEADERS_MAX];
    struct http_result result = {.code = code_of_curl(call, code), .retry_after_s = -1};
    long status = 0;
    curl_off_t retry = 0;
    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    result.status = status > 0 ? (unsigned)status : 0;
    curl_easy_getinfo(call->easy, CURLINFO_RETRY_AFTER, &retry);
    if (retry > 0)
        result.retry_after_s = retry > 86400 ? 86400 : (int)retry;
    if (result.code == 0 && has_lost_its_body(call)) {
        result.code = ERR_IO;
        result.message = "a redirect turned the POST into a GET";
    } else if (result.code == 0) {
        read_fields(call, fields);
        result.headers = fields;
        result.header_count = call->header_count;
        result.body = buf_view(&call->body);
        result.message = "";
    } else if (call->too_large) {
        result.message = "the answer is too large";
    } else {
        result.message = call->error[0] != '\0' ? call->error : curl_easy_strerror(code);
    }
    call->done(call->arg, &result);
}

/* Report what has ended. The callbacks may start and cancel calls. */
static void check(struct http_curl *c)
{
    CURLMsg *msg;
    int left;
    c->refs++; /* a callback may free the client */
    while (!c->closing && (msg = curl_multi_info_read(c->multi, &left)) != NULL) {
        struct curl_call *call = NULL;
        if (msg->msg != CURLMSG_DONE)
            continue;
        CURLcode code = msg->data.result;
        curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &call);
        /* Out of the list first: from here on the call cannot be cancelled. */
        list_remove(&call->link);
        report(call, code);
        if (c->closing) {
            call_free(call); /* the multi handle is gone and has let go of it */
            break;
        }
        call_end(call);
    }
    client_unref(c);
}

/* --- deadlines ----------------------------------------------------------------------------- */

static void look_for_overdue(struct http_curl *c);

static void on_overdue(uv_timer_t *timer)
{
    look_for_overdue(timer->data);
}

static void watch_deadline(struct http_curl *c, mono_ms deadline)
{
    if (deadline == MONO_NEVER || deadline + OVERDUE_MS >= c->overdue_at)
        return;
    mono_ms now = loop_now(c->loop);
    c->overdue_at = deadline + OVERDUE_MS;
    uv_timer_start(&c->overdue, on_overdue,
                   c->overdue_at > now ? (uint64_t)(c->overdue_at - now) : 0, 0);
}

static struct curl_call *find_overdue(struct http_curl *c, mono_ms now)
{
    LIST_EACH(at, &c->calls) {
        struct curl_call *call = LIST_ITEM(at, struct curl_call, link);
        if (call->deadline != MONO_NEVER && call->deadline + OVERDUE_MS <= now)
            return call;
    }
    return NULL;
}

/* End what is over time; the callbacks may start and cancel calls, and free the client. */
static void look_for_overdue(struct http_curl *c)
{
    const struct http_result result = {
        .code = ERR_TIMEOUT, .retry_after_s = -1, .message = "deadline exceeded"};
    mono_ms now = loop_now(c->loop);
    struct curl_call *call;
    c->refs++;
    c->overdue_at = MONO_NEVER;
    while (!c->closing && (call = find_overdue(c, now)) != NULL) {
        http_result_fn done = call->done;
        void *arg = call->arg;
        call_end(call);
        done(arg, &result);
    }
    if (!c->closing)
        LIST_EACH(at, &c->calls)
            watch_deadline(c, LIST_ITEM(at, struct curl_call, link)->deadline);
    client_unref(c);
}

/* --- starting ------------------------------------------------------------------------------ */

static int add_headers(struct curl_call *call, const struct http_ask *ask)
{
    struct curl_slist **list = &call->lists.headers;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < ask->header_count; i++)
        rc = http_lists_add(list, ask->headers[i].name, ask->headers[i].value);
    /* Without this, curl waits up to a second for a 100 before larger bodies. */
    if (rc == 0)
        rc = http_lists_add_line(list, "Expect:");
    if (rc == 0 && http_field_get(ask->headers, ask->header_count, "Accept").data == NULL)
        rc = http_lists_add_line(list, "Accept:"); /* it would say that it takes anything */
    if (rc == 0 && ask->method != HTTP_GET &&
        http_field_get(ask->headers, ask->header_count, "Content-Type").data == NULL)
        rc = http_lists_add_line(list, "Content-Type:"); /* not curl's guess */
    return rc;
}

static CURLcode set_method(CURL *e, const struct http_ask *ask)
{
    CURLcode rc = CURLE_OK;
    if (ask->method == HTTP_GET)
        return curl_easy_setopt(e, CURLOPT_HTTPGET, 1L);
    if (ask->method == HTTP_HEAD)
        return curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
    if (ask->method != HTTP_POST && ask->method != HTTP_PUT && ask->method != HTTP_DELETE)
        return CURLE_BAD_FUNCTION_ARGUMENT;
    if (ask->method == HTTP_DELETE && ask->body.len == 0)
        return curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, "DELETE");
    rc = curl_easy_setopt(e, CURLOPT_POST, 1L);
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)ask->body.len);
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(e, CURLOPT_POSTFIELDS, ask->body.len == 0 ? "" : ask->body.data);
    if (rc == CURLE_OK && ask->method != HTTP_POST)
        rc = curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, http_method_name(ask->method));
    return rc;
}

static CURLcode set_options(struct curl_call *call, const struct http_ask *ask, bool redirected)
{
    struct http_curl *c = call->client;
    CURL *e = call->easy;
    long ms = 0;
    if (ask->deadline != MONO_NEVER) {
        mono_ms left = ask->deadline - loop_now(c->loop);
        ms = left < 1 ? 1 : left > INT32_MAX ? INT32_MAX : (long)left;
    }
    CURLcode rc = set_method(e, ask);
#define SET(option, value)                                                                    \
    if (rc == CURLE_OK)                                                                       \
    rc = curl_easy_setopt(e, option, value)
    SET(CURLOPT_URL, ask->url);
    SET(CURLOPT_PRIVATE, call);
    SET(CURLOPT_HTTPHEADER, call->lists.headers);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, call);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, call);
    SET(CURLOPT_ERRORBUFFER, call->error);
    SET(CURLOPT_TIMEOUT_MS, ms);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)c->config.connect_ms);
    SET(CURLOPT_MAXAGE_CONN, (long)(c->config.idle_ms / 1000) + 1);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_TCP_NODELAY, 1L);
    SET(CURLOPT_USERAGENT, c->config.user_agent);
    if (ask->body.len > UPLOAD_BYTES / 2)
        SET(CURLOPT_UPLOAD_BUFFERSIZE, (long)UPLOAD_BYTES);
    if (c->config.ca_file != NULL) {
        SET(CURLOPT_CAINFO, c->config.ca_file);
        SET(CURLOPT_CAPATH, NULL);
    }
#undef SET
    if (rc == CURLE_OK && ask->way != NULL)
        rc = http_way_apply(e, ask->way, ask->url, redirected, &call->lists);
    return rc;
}

static int call_new(struct curl_call **out, struct http_curl *c)
{
    struct list *kept = list_first(&c->kept);
    if (kept != NULL) {
        list_remove(kept);
        c->kept_count--;
        *out = LIST_ITEM(kept, struct curl_call, link);
        (*out)->too_large = false;
        (*out)->header_count = 0;
        (*out)->error[0] = '\0';
        return 0;
    }
    struct curl_call *call = mem_zalloc(sizeof *call);
    if (call == NULL || (call->easy = curl_easy_init()) == NULL) {
        mem_free(call);
        return ERR_NOMEM;
    }
    call->call.by_curl = true;
    call->client = c;
    list_init(&call->link);
    *out = call;
    return 0;
}

int http_curl_start(struct http_curl *c, const struct http_ask *ask, bool redirected,
                    struct http_call **out, struct err *err)
{
    struct curl_call *call;
    if (c->closing || call_new(&call, c) != 0)
        return err_set(err, c->closing ? ERR_CLOSED : ERR_NOMEM, "%s", ask->url);
    call->done = ask->done;
    call->arg = ask->arg;
    call->deadline = ask->deadline;
    call->is_post = ask->method == HTTP_POST;
    call->response_max = ask->response_max == 0 ? 64u << 20 : ask->response_max;
    int rc = add_headers(call, ask);
    if (rc != 0) {
        call_free(call);
        return err_set(err, rc, "%s: a header cannot be sent", ask->url);
    }
    CURLcode code = set_options(call, ask, redirected);
    if (code != CURLE_OK || curl_multi_add_handle(c->multi, call->easy) != CURLM_OK) {
        call_free(call);
        rc = code == CURLE_OUT_OF_MEMORY ? ERR_NOMEM : ERR_INVAL;
        return err_set(err, rc, "%s: %s", ask->url, curl_easy_strerror(code));
    }
    list_push_back(&c->calls, &call->link);
    c->inflight++;
    watch_deadline(c, call->deadline);
    *out = &call->call;
    return 0;
}

void http_curl_cancel(struct http_call *call)
{
    call_end(LIST_ITEM(call, struct curl_call, call));
}

unsigned http_curl_inflight(const struct http_curl *c)
{
    return c->inflight;
}

/* --- life ---------------------------------------------------------------------------------- */

int http_curl_init(struct http_curl **out, struct loop *l,
                   const struct http_client_config *config, struct err *err)
{
    pthread_once(&once, global_init);
    struct http_curl *c = mem_zalloc(sizeof *c);
    if (c == NULL || (c->multi = curl_multi_init()) == NULL) {
        mem_free(c);
        return err_set(err, ERR_NOMEM, "HTTP client");
    }
    c->loop = l;
    c->config = *config;
    c->refs = 3;
    c->overdue_at = MONO_NEVER;
    list_init(&c->calls);
    list_init(&c->kept);
    uv_timer_init(loop_uv(l), &c->timer);
    uv_timer_init(loop_uv(l), &c->overdue);
    c->timer.data = c->overdue.data = c;
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, want_timer);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_MAX_HOST_CONNECTIONS,
                      (long)c->config.connections_per_host);
    curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, (long)c->config.idle_max);
    curl_multi_setopt(c->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    *out = c;
    return 0;
}

void http_curl_free(struct http_curl **cp)
{
    struct http_curl *c = *cp;
    if (c == NULL)
        return;
    *cp = NULL;
    struct list *at;
    c->closing = true;
    while ((at = list_first(&c->calls)) != NULL) {
        struct curl_call *call = LIST_ITEM(at, struct curl_call, link);
        struct http_result result = {
            .code = ERR_CANCELED, .retry_after_s = -1, .message = "canceled"};
        http_result_fn done = call->done;
        void *done_arg = call->arg;
        call_end(call);
        done(done_arg, &result);
    }
    while ((at = list_first(&c->kept)) != NULL) {
        list_remove(at);
        call_free(LIST_ITEM(at, struct curl_call, link));
    }
    curl_multi_cleanup(c->multi);
    uv_close((uv_handle_t *)&c->timer, on_timer_closed);
    uv_close((uv_handle_t *)&c->overdue, on_timer_closed);
    client_unref(c);
}
