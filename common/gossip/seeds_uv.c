/* gossip/seeds_uv.c - the entries of the join list, and the guess at our own address. */
#include "gossip/seeds_uv.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "disco/disco_uv.h"
#include "gossip/transport_uv.h"
#include "net/loop.h"

enum {
    PORT = 7946, /* of entries without one, whatever bind-port is: as in memberlist */
    REFRESH_MS = 30000,
    TIMEOUT_MS = 2000,
    WAIT_MS = 3000, /* for the first answer, to choose our address by */
    TURN_MS = 20,
    SEEDS_MAX = 1024,
    BOUND_MAX = 16,
    US_MAX = 16,
    TEXT_MAX = 400, /* bytes, about, of what is waited for */
};

struct seeds {
    struct loop *loop;
    const struct gossip_config *cfg;
    struct disco_config dns;
    const struct log *log;
    struct disco *disco;
    size_t joins; /* entries of -memberlist.join; those for rejoining follow */
    uint64_t given, rounds;
    bool given_later, given_alone;
    struct gossip_addr self; /* as announced, without port */
    bool guessed;            /* self was chosen without knowing a seed */
    struct gossip_addr bound[BOUND_MAX];
    size_t bound_count;
    struct gossip_addr us[US_MAX]; /* ourselves: as announced, and as the list has it */
    size_t us_count;
    bool said_only_us;
};

/* --- the list ------------------------------------------------------------------------------- */

static int add_list(struct seeds *s, const struct conf_list *list, const char *flag,
                    struct err *err)
{
    for (size_t i = 0; i < list->count; i++) {
        int rc = disco_add(s->disco, str_c(list->items[i]), err);
        if (rc != 0) {
            (void)err_wrap(err, "-memberlist.%s", flag);
            return rc;
        }
    }
    return 0;
}

int seeds_init(struct seeds **out, struct loop *loop, const struct gossip_config *config,
               void (*on_change)(void *arg), void *arg, const struct log *log,
               struct metrics *metrics, struct err *err)
{
    struct disco_options options = {
        .name = "memberlist", .default_port = PORT, .on_change = on_change, .arg = arg};
    struct seeds *s = mem_zalloc(sizeof *s);
    if (s == NULL)
        return err_set(err, ERR_NOMEM, "gossip: join list");
    *s = (struct seeds){
        .loop = loop, .cfg = config, .dns = config->dns, .log = log, .given = UINT64_MAX};
    s->dns.refresh_ms = s->dns.refresh_ms == 0 ? REFRESH_MS : s->dns.refresh_ms;
    s->dns.timeout_ms = s->dns.timeout_ms == 0 ? TIMEOUT_MS : s->dns.timeout_ms;
    int rc = disco_init(&s->disco, loop, &s->dns, &options, log, metrics, err);
    if (rc == 0)
        rc = add_list(s, &config->join, "join", err);
    if (rc == 0) {
        s->joins = names_count(disco_names(s->disco));
        rc = add_list(s, &config->rejoin, "rejoin-seed-nodes", err);
    }
    if (rc != 0) {
        seeds_free(&s);
        return rc;
    }
    disco_start(s->disco);
    *out = s;
    return 0;
}

void seeds_free(struct seeds **s)
{
    if (*s == NULL)
        return;
    disco_free(&(*s)->disco);
    mem_free(*s);
    *s = NULL;
}

/* --- our own address ------------------------------------------------------------------------ */

static bool is_unspecified(const struct gossip_addr *a)
{
    static const uint8_t zero[16];
    size_t v4 = gossip_addr_is_v4(a) ? 12 : 0;
    return memcmp(a->ip + v4, zero + v4, 16 - v4) == 0;
}

/* Of a socket address; ERR_INVAL for families other than IP. */
static int of_sockaddr(struct gossip_addr *out, const struct sockaddr *sa)
{
    char text[INET6_ADDRSTRLEN];
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)sa;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)sa;
    const void *ip = sa->sa_family == AF_INET    ? (const void *)&v4->sin_addr
                     : sa->sa_family == AF_INET6 ? (const void *)&v6->sin6_addr
                                                 : NULL;
    if (ip == NULL || inet_ntop(sa->sa_family, ip, text, sizeof text) == NULL)
        return ERR_INVAL;
    if (sa->sa_family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr))
        return ERR_INVAL;
    return gossip_addr_parse(out, str_c(text), 0);
}

/* The address that the kernel would send from towards `to`: no packet is sent. */
static int address_towards(struct gossip_addr *out, const struct gossip_addr *to)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(to->port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(to->port)};
    struct sockaddr_storage bound = {0};
    socklen_t size = sizeof bound;
    bool is_v4 = gossip_addr_is_v4(to);
    memcpy(&v4.sin_addr, to->ip + (is_v4 ? to->size - 4 : 0), 4);
    memcpy(&v6.sin6_addr, to->ip, 16);
    int fd = socket(is_v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return ERR_IO;
    const void *peer = is_v4 ? (const void *)&v4 : (const void *)&v6;
    int rc = ERR_IO;
    if (connect(fd, peer, is_v4 ? sizeof v4 : sizeof v6) == 0 &&
        getsockname(fd, (struct sockaddr *)(void *)&bound, &size) == 0)
        rc = of_sockaddr(out, (const struct sockaddr *)(const void *)&bound);
    close(fd);
    return rc;
}

static bool is_loopback(const struct gossip_addr *a)
{
    static const uint8_t one[16] = {[15] = 1};
    return gossip_addr_is_v4(a) ? a->ip[12] == 127 : memcmp(a->ip, one, 16) == 0;
}

/* The address on the default route: towards documentation addresses, which nobody has. */
static int address_of_default_route(struct gossip_addr *out)
{
    static const char *const nowhere[] = {"192.0.2.1:9", "[2001:db8::1]:9"};
    struct gossip_addr to;
    for (size_t i = 0; i < sizeof nowhere / sizeof nowhere[0]; i++)
        if (gossip_addr_parse(&to, str_c(nowhere[i]), 0) == 0 &&
            address_towards(out, &to) == 0 && !is_loopback(out))
            return 0;
    return ERR_NOENT;
}

/* The first address of this host that others could reach; IPv4 is preferred. */
static int address_of_host(struct gossip_addr *out)
{
    struct ifaddrs *list = NULL;
    int rc = ERR_NOENT;
    if (getifaddrs(&list) != 0)
        return ERR_IO;
    for (const struct ifaddrs *i = list; i != NULL; i = i->ifa_next) {
        struct gossip_addr a;
        if (i->ifa_addr == NULL || of_sockaddr(&a, i->ifa_addr) != 0 || is_loopback(&a))
            continue;
        if (rc != 0 || (gossip_addr_is_v4(&a) && !gossip_addr_is_v4(out)))
            *out = a;
        rc = 0;
    }
    freeifaddrs(list);
    return rc;
}

/* The address on the route to the first seed that there is a route to; ERR_NOENT. */
static int address_towards_any(const struct seeds *s, bool loopback, struct gossip_addr *out,
                               struct buf *why)
{
    const struct names *n = disco_names(s->disco);
    char text[GOSSIP_ADDR_TEXT_MAX];
    for (size_t i = 0; i < s->joins; i++) {
        struct names_view v = names_at(n, i);
        for (size_t k = 0; k < v.count; k++) {
            struct gossip_addr seed = gossip_addr_of_net(&v.addrs[k]);
            if (address_towards(out, &seed) != 0 || is_loopback(out) != loopback)
                continue;
            gossip_addr_text(&seed, text);
            buf_printf(why, "it is on the route to %s of the join list", text);
            if (strcmp(text, v.text) != 0)
                buf_printf(why, " (%s)", v.text);
            return 0;
        }
    }
    return ERR_NOENT;
}

/* One that others can reach where there is one: a host's own name may be a loopback address. */
static int address_towards_seeds(const struct seeds *s, struct gossip_addr *out, struct buf *why)
{
    int rc = address_towards_any(s, false, out, why);
    return rc == 0 ? 0 : address_towards_any(s, true, out, why);
}

/* Some entry has an address, or all have been answered. */
static bool knows_enough(const struct names *n, size_t joins)
{
    for (size_t i = 0; i < joins; i++)
        if (names_at(n, i).count > 0)
            return true;
    return names_settled(n);
}

void seeds_choose_self(struct seeds *s, const struct gossip_addr *bound, struct gossip_addr *self,
                       struct buf *why)
{
    const char *advertise = s->cfg->advertise_addr;
    if (advertise[0] != '\0' && gossip_addr_parse(self, str_c(advertise), 0) == 0) {
        buf_c(why, "-memberlist.advertise-addr says so");
        s->self = *self;
        return;
    }
    if (!is_unspecified(bound)) {
        buf_c(why, "it is listened on");
        s->self = *self = *bound;
        return;
    }
    mono_ms end = loop_now(s->loop) + WAIT_MS;
    while (!knows_enough(disco_names(s->disco), s->joins) && loop_now(s->loop) < end)
        loop_turn(s->loop, TURN_MS);
    if (address_towards_seeds(s, self, why) != 0) {
        s->guessed = s->joins > 0;
        if (address_of_default_route(self) == 0)
            buf_c(why, "it is on the default route");
        else if (address_of_host(self) == 0)
            buf_c(why, "it is the first address of this host");
        else if (gossip_addr_parse(self, STR("127.0.0.1"), 0) == 0)
            buf_c(why, "no other was found: only this host can reach it");
    }
    s->self = *self;
}

/* The address was chosen before any seed was known: now that one is, say so if it is wrong. */
static void check_guess(struct seeds *s)
{
    struct gossip_addr better;
    struct buf why = {0};
    char announced[GOSSIP_ADDR_TEXT_MAX], text[GOSSIP_ADDR_TEXT_MAX];
    if (!s->guessed || address_towards_seeds(s, &better, &why) != 0)
        return;
    s->guessed = false;
    gossip_addr_ip_text(&s->self, announced);
    gossip_addr_ip_text(&better, text);
    if (strcmp(announced, text) != 0)
        log_line(s->log, LOG_WARN,
                 "others may not reach the announced address: start again, or set "
                 "-memberlist.advertise-addr",
                 LOG_C("announced", announced), LOG_C("better", text),
                 LOG_S("because", buf_view(&why)));
    buf_reset(&why);
}

void seeds_bound(struct seeds *s, const struct gossip_addr *bound)
{
    if (s->bound_count < BOUND_MAX)
        s->bound[s->bound_count++] = *bound;
}

/* An address of this host: one that an interface has. That a socket can be bound to it says
 * nothing on a host that may bind any address (net.ipv4.ip_nonlocal_bind). */
static bool is_local(const struct gossip_addr *a, const struct ifaddrs *list)
{
    if (is_loopback(a))
        return true;
    for (const struct ifaddrs *i = list; i != NULL; i = i->ifa_next) {
        struct gossip_addr b;
        if (i->ifa_addr == NULL || of_sockaddr(&b, i->ifa_addr) != 0)
            continue;
        b.port = a->port;
        if (gossip_addr_eq(a, &b))
            return true;
    }
    return false;
}

/* Whoever connects there gets us: such as this host's name, which its hosts file gives a loopback
 * address. */
static bool leads_to_us(const struct seeds *s, const struct gossip_addr *a,
                        const struct ifaddrs *list)
{
    for (size_t i = 0; i < s->bound_count; i++) {
        const struct gossip_addr *b = &s->bound[i];
        bool any = is_unspecified(b) && (gossip_addr_is_v4(a) || !gossip_addr_is_v4(b));
        if (b->port == a->port && (gossip_addr_eq(a, b) || (any && is_local(a, list))))
            return true;
    }
    return false;
}

static bool is_known_us(const struct seeds *s, const struct gossip_addr *a)
{
    for (size_t i = 0; i < s->us_count; i++)
        if (gossip_addr_eq(&s->us[i], a))
            return true;
    return false;
}

/* The addresses of all entries that are ourselves. */
static void find_us(struct seeds *s, const struct gossip_addr *self)
{
    const struct names *n = disco_names(s->disco);
    struct ifaddrs *list = NULL;
    if (getifaddrs(&list) != 0)
        list = NULL;
    s->us[0] = *self;
    s->us_count = 1;
    for (size_t i = 0; i < names_count(n); i++) {
        struct names_view v = names_at(n, i);
        for (size_t k = 0; k < v.count && s->us_count < US_MAX; k++) {
            struct gossip_addr a = gossip_addr_of_net(&v.addrs[k]);
            if (!is_known_us(s, &a) && leads_to_us(s, &a, list))
                s->us[s->us_count++] = a;
        }
    }
    if (list != NULL)
        freeifaddrs(list);
}

/* --- joining -------------------------------------------------------------------------------- */

static const struct member *self_of(struct gossip_core *core)
{
    return members_self(memberlist_members(gossip_core_members(core)));
}

/* Which entries are joined now: the first ones until we are in; then those for rejoining, where
 * there are any; alone again, all. */
static void range(const struct seeds *s, bool later, bool alone, size_t *from, size_t *to)
{
    size_t count = names_count(disco_names(s->disco));
    bool others = later && count > s->joins;
    *from = others && !alone ? s->joins : 0;
    *to = others ? count : s->joins;
}

static int give(struct seeds *s, struct gossip_core *core, struct gossip_time now)
{
    const struct names *n = disco_names(s->disco);
    size_t from, to, count = 0, wanted = 0;
    bool pending = false, missing = false;
    find_us(s, &self_of(core)->addr);
    range(s, s->given_later, s->given_alone, &from, &to);
    for (size_t i = from; i < to; i++)
        wanted += names_at(n, i).count;
    wanted = wanted < SEEDS_MAX ? wanted : SEEDS_MAX;
    struct gossip_addr *list = mem_calloc(wanted + 1, sizeof *list);
    if (list == NULL)
        return ERR_NOMEM;
    for (size_t i = from; i < to; i++) {
        struct names_view v = names_at(n, i);
        pending = pending || v.state == NAMES_PENDING;
        missing = missing || v.count == 0;
        for (size_t k = 0; k < v.count && count < wanted; k++) {
            list[count] = gossip_addr_of_net(&v.addrs[k]);
            count += !is_known_us(s, &list[count]);
        }
    }
    if (count == 0 && !missing && to > from && !s->said_only_us) {
        s->said_only_us = true;
        log_line(s->log, LOG_INFO,
                 "the join list names nobody but this process: others have to join it");
    }
    gossip_core_names(core, pending, missing, now);
    int rc = gossip_core_seeds(core, list, count, now);
    mem_free(list);
    return rc;
}

int seeds_give(struct seeds *s, struct gossip_core *core, struct gossip_time now)
{
    const struct join *j = gossip_core_join(core);
    uint64_t generation = names_generation(disco_names(s->disco));
    bool later = join_was_joined(j);
    bool alone = members_active_count(memberlist_members(gossip_core_members(core))) <= 1;
    if (join_rounds(j) != s->rounds) {
        s->rounds = join_rounds(j);
        disco_refresh(s->disco);
    }
    if (s->given == generation && s->given_later == later && s->given_alone == alone)
        return 0;
    s->given_later = later;
    s->given_alone = alone;
    int rc = give(s, core, now);
    s->given = rc == 0 ? generation : UINT64_MAX;
    check_guess(s);
    return rc;
}

/* --- for people ----------------------------------------------------------------------------- */

enum entry_standing { ENTRY_REACHED, ENTRY_NAMELESS, ENTRY_UNTRIED, ENTRY_UNREACHED };

static bool is_member(struct gossip_core *core, const struct gossip_addr *a)
{
    const struct members *m = memberlist_members(gossip_core_members(core));
    for (size_t i = 0; i < members_count(m); i++) {
        const struct member *at = members_at(m, i);
        if (at->state <= MEMBER_SUSPECT && gossip_addr_eq(&at->addr, a))
            return true;
    }
    return false;
}

static enum entry_standing standing_of(const struct seeds *s, const struct names_view *v,
                                       struct gossip_core *core)
{
    const struct join *j = gossip_core_join(core);
    bool only_us = true, tried = false;
    for (size_t k = 0; k < v->count; k++) {
        struct gossip_addr a = gossip_addr_of_net(&v->addrs[k]);
        enum join_seed known = join_seed_of(j, &a);
        if (known == JOIN_REACHED || is_member(core, &a))
            return ENTRY_REACHED; /* also one that joined us */
        tried = tried || known == JOIN_UNREACHED;
        only_us = only_us && is_known_us(s, &a);
    }
    if (v->count == 0)
        return ENTRY_NAMELESS;
    return only_us ? ENTRY_REACHED : tried ? ENTRY_UNREACHED : ENTRY_UNTRIED;
}

struct seeds_standing seeds_standing(const struct seeds *s, struct gossip_core *core)
{
    const struct names *n = disco_names(s->disco);
    struct seeds_standing out = {.entries = (uint32_t)s->joins};
    for (size_t i = 0; i < s->joins; i++) {
        struct names_view v = names_at(n, i);
        out.reached += standing_of(s, &v, core) == ENTRY_REACHED;
    }
    return out;
}

uint64_t seeds_mark(const struct seeds *s, struct gossip_core *core)
{
    return (names_generation(disco_names(s->disco)) << 32) +
           join_news(gossip_core_join(core));
}

/* "::1:5701" is an address of its own, and not port 5701 of ::1: say what it was taken for. */
static void put_bare_v6(struct str text, const struct names_view *v, struct buf *out)
{
    char bracketed[ADDR_TEXT_MAX + 16];
    size_t colon = str_rfind(text, ':');
    struct addr meant;
    uint64_t port = 0;
    if (text.len == 0 || text.data[0] == '[' || colon == SIZE_MAX ||
        str_find(text, ':') == colon || v->count != 1)
        return;
    buf_printf(out, " = [%.*s]:%u", STR_ARG(text), v->addrs[0].port);
    int used = snprintf(bracketed, sizeof bracketed, "[%.*s]:%.*s",
                        STR_ARG(str_head(text, colon)), STR_ARG(str_skip(text, colon + 1)));
    if (used > 0 && (size_t)used < sizeof bracketed &&
        str_u64(str_skip(text, colon + 1), &port) == 0 &&
        addr_parse(&meant, str_c(bracketed), PORT) == 0)
        buf_printf(out, "; or is %s meant?", bracketed);
}

static const char *remark_on(const struct names_view *v, const struct transport *t)
{
    const char *remark = NULL;
    for (size_t k = 0; remark == NULL && k < v->count; k++) {
        struct gossip_addr a = gossip_addr_of_net(&v->addrs[k]);
        remark = transport_remark(t, &a);
    }
    return remark;
}

void seeds_text(const struct seeds *s, struct gossip_core *core, const struct transport *t,
                struct buf *out)
{
    const struct names *n = disco_names(s->disco);
    bool joined = join_is_joined(gossip_core_join(core)), first = true;
    size_t start = out->size, more = 0;
    for (size_t i = 0; i < s->joins; i++) {
        struct names_view v = names_at(n, i);
        enum entry_standing how = standing_of(s, &v, core);
        if (how == ENTRY_REACHED || (how == ENTRY_UNTRIED && joined))
            continue;
        if (out->size - start > TEXT_MAX) {
            more++;
            continue;
        }
        const char *why = how == ENTRY_UNREACHED ? "no answer to gossip"
                          : how == ENTRY_UNTRIED ? "not tried yet"
                          : v.why[0] == '\0'     ? "being looked up"
                                                 : v.why;
        buf_printf(out, "%s%s", first ? "" : ", ", v.text);
        put_bare_v6(str_c(v.text), &v, out);
        const char *remark = how == ENTRY_UNREACHED ? remark_on(&v, t) : NULL;
        buf_printf(out, " (%s%s%s)", why, remark == NULL ? "" : ": ",
                   remark == NULL ? "" : remark);
        first = false;
    }
    if (more > 0)
        buf_printf(out, " and %zu more", more);
}
