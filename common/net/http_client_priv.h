/* net/http_client_priv.h - what the files of the HTTP client share: http_client_uv.c chooses,
 * http_plain_uv.c makes calls to http:// itself, http_curl_uv.c has libcurl make all others. */
#ifndef NET_HTTP_CLIENT_PRIV_H
#define NET_HTTP_CLIENT_PRIV_H

#include <curl/curl.h>

#include "net/http_client.h"

struct http_curl;
struct http_plain;

/* First member of a call of either kind. */
struct http_call {
    bool by_curl;
};

/* --- http_client_uv.c ------------------------------------------------------------------------ */

/* Go on with what a plain call asked where its redirect leads to, by libcurl. `ask` as for
 * http_call_start(), with a way; what is left of that is put into *way, which is the call's until
 * its end. ERR_IO: it must not be followed; and the errors of http_call_start(). */
int http_client_redirect(struct http_client *c, const struct http_ask *ask, struct http_way *way,
                         unsigned status, struct str location, struct http_call **out,
                         struct err *err);

/* --- http_plain_uv.c ------------------------------------------------------------------------- */

/* The functions of http_client.h, for plain calls. */
int http_plain_init(struct http_plain **out, struct http_client *c, struct loop *l,
                    const struct http_client_config *config, struct err *err);
void http_plain_free(struct http_plain **p);
void http_plain_cancel(struct http_call *call);
unsigned http_plain_inflight(const struct http_plain *p);

/* It is one of ours: http://, no proxy, a URL that http_url_split() takes. */
struct http_url;
bool http_plain_takes(const struct http_ask *ask, struct http_url *url);
int http_plain_start(struct http_plain *p, const struct http_ask *ask, const struct http_url *url,
                     struct http_call **out, struct err *err);

/* --- http_curl_uv.c -------------------------------------------------------------------------- */

/* The functions of http_client.h, for calls by libcurl. `redirected`: the call was redirected
 * before, so that any redirect beyond way->redirects_max, which may be 0, is an error. */
int http_curl_init(struct http_curl **out, struct loop *l, const struct http_client_config *config,
                   struct err *err);
void http_curl_free(struct http_curl **p);
void http_curl_cancel(struct http_call *call);
unsigned http_curl_inflight(const struct http_curl *p);
int http_curl_start(struct http_curl *p, const struct http_ask *ask, bool redirected,
                    struct http_call **out, struct err *err);

/* --- http_way_uv.c --------------------------------------------------------------------------- */

/* Lists that a call hands to curl; freed with it. */
struct http_call_lists {
    struct curl_slist *headers, *proxy_headers, *connect_to;
};

/* Append a header's line to a list. ERR_INVAL (no name, or a byte that does not belong into one;
 * a value of several lines), ERR_NOMEM. */
int http_lists_add(struct curl_slist **list, struct str name, struct str value);

/* Append a whole line. ERR_NOMEM. */
int http_lists_add_line(struct curl_slist **list, const char *line);

/* Set up an easy handle, whose URL, headers and plain options are set, for a way. May change
 * the URL and the headers. */
CURLcode http_way_apply(CURL *e, const struct http_way *way, const char *url, bool redirected,
                        struct http_call_lists *lists);

/* Where a Location leads to from `url`: *out for mem_free(); *same: to the same scheme, host and
 * port. ERR_IO (nowhere that http or https go to), ERR_NOMEM. */
int http_way_location(const char *url, struct str location, char **out, bool *same);

#endif
