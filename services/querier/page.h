/* services/querier/page.h - the web page: the files of services/querier/page, served as
 * app/page_files_run.h says. Any thread. Tests: tests/cluster/test_page.py. */
#ifndef QUERIER_PAGE_H
#define QUERIER_PAGE_H

#include "base/err.h"

struct http_server;

/* Add the page's routes. Errors of http_server_route(). */
int page_register(struct http_server *http, struct err *err);

#endif
