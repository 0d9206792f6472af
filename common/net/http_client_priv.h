/* net/http_client_priv.h - what http_client_uv.c and http_way_uv.c share. */
#ifndef NET_HTTP_CLIENT_PRIV_H
#define NET_HTTP_CLIENT_PRIV_H

#include <curl/curl.h>

#include "net/http_client.h"

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
CURLcode http_way_apply(CURL *e, const struct http_way *way, const char *url,
                        struct http_call_lists *lists);

#endif
