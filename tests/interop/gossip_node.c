/* A member of ours, driven by lines on standard input; each answer is one line of JSON. Flags are
 * those of -memberlist.*; commands those of gossip-peer/main.go.
 * For tests/interop/test_gossip.py. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/gossip/kv_test_codec.h"
#include "base/clock.h"
#include "base/log.h"
#include "conf/conf.h"
#include "gossip/core.h"
#include "gossip/gossip_uv.h"
#include "net/loop.h"

static const struct str key = STR_INIT("interop/key");

struct node {
    struct loop *loop;
    struct gossip *g;
    char name[TV_NAME];
    uint32_t number;
    bool drop;
    struct buf out;
    pthread_mutex_t lock;
    pthread_cond_t stopped;
    bool is_stopped;
};

static int edit(void *arg, void **value)
{
    struct node *n = arg;
    if (*value == NULL && (*value = tv_new()) == NULL)
        return ERR_NOMEM;
    if (!n->drop) {
        tv_put(*value, n->name, clock_wall_ms() / 1000, n->number);
        return KV_STORE;
    }
    struct tv *v = *value;
    struct tv_item *item = tv_find(v, n->name);
    if (item == NULL)
        return KV_KEEP;
    size_t at = (size_t)(item - v->items);
    memmove(item, item + 1, (v->count - at - 1) * sizeof *item);
    v->count--;
    return KV_STORE;
}

static void put_members(void *arg)
{
    struct node *n = arg;
    const struct members *m =
        memberlist_members(gossip_core_members(gossip_core_of(n->g)));
    buf_c(&n->out, "[");
    for (size_t i = 0, count = 0; i < members_count(m); i++) {
        const struct member *one = members_at(m, i);
        if (one->state <= MEMBER_SUSPECT)
            buf_printf(&n->out, "%s\"%.*s\"", count++ > 0 ? "," : "", STR_ARG(one->name));
    }
    buf_c(&n->out, "]");
}

static void put_value(void *arg)
{
    struct node *n = arg;
    const struct tv *v = gossip_get(n->g, key);
    size_t count = 0;
    buf_c(&n->out, "{");
    for (size_t i = 0; v != NULL && i < v->count; i++)
        if (!v->items[i].left)
            buf_printf(&n->out, "%s\"%s\":%u", count++ > 0 ? "," : "", v->items[i].name,
                       v->items[i].number);
    buf_c(&n->out, "}");
}

static void delete_key(void *arg)
{
    struct node *n = arg;
    int rc = kv_delete(gossip_core_kv(gossip_core_of(n->g)), key, clock_wall_ms());
    buf_c(&n->out, rc == 0 ? "\"ok\"" : "\"failed\"");
}

static void on_stopped(void *arg)
{
    struct node *n = arg;
    pthread_mutex_lock(&n->lock);
    n->is_stopped = true;
    pthread_cond_signal(&n->stopped);
    pthread_mutex_unlock(&n->lock);
}

static void stop(void *arg)
{
    struct node *n = arg;
    gossip_stop(n->g, on_stopped, n);
}

static void release(void *arg)
{
    struct node *n = arg;
    gossip_free(&n->g);
}

static void answer(struct node *n)
{
    printf("%.*s\n", STR_ARG(buf_view(&n->out)));
    fflush(stdout);
    buf_clear(&n->out);
}

static void command(struct node *n, char *line)
{
    char verb[16] = "", number[16] = "0", name[TV_NAME] = "";
    (void)sscanf(line, "%15s %15s %15s", verb, name, number);
    memcpy(n->name, name, sizeof name);
    n->number = (uint32_t)strtoul(number, NULL, 10);
    n->drop = strcmp(verb, "drop") == 0;
    if (strcmp(verb, "members") == 0) {
        loop_call(n->loop, put_members, n);
    } else if (strcmp(verb, "get") == 0) {
        loop_call(n->loop, put_value, n);
    } else if (strcmp(verb, "delete") == 0) {
        loop_call(n->loop, delete_key, n);
    } else if (strcmp(verb, "status") == 0) {
        buf_c(&n->out, "\"");
        gossip_status_text(n->g, &n->out);
        buf_c(&n->out, "\"");
    } else {
        int rc = gossip_cas_from(n->g, key, "test", edit, n);
        buf_printf(&n->out, "\"%s\"", rc == 0 ? "ok" : err_text(rc));
    }
    answer(n);
}

static int run(struct node *n)
{
    char line[256];
    struct err err = {0};
    if (gossip_register(n->g, &tv_codec) != 0 || gossip_start(n->g, &err) != 0 ||
        loop_start(n->loop, &err) != 0) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    buf_c(&n->out, "\"ready\"");
    answer(n);
    bool leave = false;
    while (!leave && fgets(line, sizeof line, stdin) != NULL) {
        leave = strncmp(line, "leave", 5) == 0;
        if (!leave)
            command(n, line);
    }
    loop_call(n->loop, stop, n);
    pthread_mutex_lock(&n->lock);
    while (!n->is_stopped)
        pthread_cond_wait(&n->stopped, &n->lock);
    pthread_mutex_unlock(&n->lock);
    buf_c(&n->out, "\"left\"");
    answer(n);
    return 0;
}

int main(int argc, char **argv)
{
    static struct node n = {.lock = PTHREAD_MUTEX_INITIALIZER,
                            .stopped = PTHREAD_COND_INITIALIZER};
    struct gossip_config config = {0};
    struct conf_section section = {"Gossip", "memberlist.",         "memberlist",
                                   gossip_rows, &config, gossip_config_validate};
    struct log log = {.sink = log_stderr, .now = clock_wall_ms, .level = LOG_INFO};
    struct conf *conf = NULL;
    struct err err = {0};
    int rc = conf_init(&conf, &section, 1, &err);
    rc = rc != 0 ? rc : conf_args(conf, argc, (const char *const *)argv, &err);
    rc = rc != 0 ? rc : conf_apply(conf, &err);
    rc = rc != 0 ? rc : loop_init(&n.loop, "gossip", &err);
    rc = rc != 0 ? rc : gossip_init(&n.g, n.loop, &config, &log, NULL, &err);
    if (rc != 0) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    rc = run(&n);
    loop_call(n.loop, release, &n);
    loop_free(&n.loop);
    conf_free(&conf);
    buf_reset(&n.out);
    return rc;
}
