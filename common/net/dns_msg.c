/* net/dns_msg.c - one pass over the sections; names point backwards only, so that they end. */
#include "net/dns_msg.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

enum { HEADER = 12, CLASS_IN = 1, LABEL_MAX = 63, POINTER = 0xc0, FLAG_ANSWER = 0x80 };
enum { NAME_BYTES_MAX = 255, JUMPS_MAX = 32 }; /* so that no name costs more than it should */

/* An address of the additional section. */
struct extra {
    char owner[DNS_NAME_MAX];
    struct addr addr;
};

struct reader {
    const uint8_t *data;
    size_t size, at;
    enum dns_type type;
    struct dns_records *out;
    size_t addr_room, srv_room;
    struct extra *extras;
    size_t extra_count, extra_room;
};

static uint16_t u16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

/* Append a label and a dot. False: no text of a name, or too long. */
static bool put_label(char out[DNS_NAME_MAX], size_t *len, const uint8_t *label, size_t size)
{
    if (*len + size + 2 > DNS_NAME_MAX)
        return false;
    for (size_t i = 0; i < size; i++) {
        if (label[i] <= ' ' || label[i] > '~' || label[i] == '.' || label[i] == '\\')
            return false;
        out[(*len)++] = (char)lower(label[i]);
    }
    out[(*len)++] = '.';
    return true;
}

/* The name at *at, as text in `out` ("" for the root, or for one that is no text). *at is moved
 * behind it. ERR_PARSE: it leaves the message, or a pointer does not point backwards. */
static int read_name(const struct reader *r, size_t *at, char out[DNS_NAME_MAX])
{
    size_t pos = *at, floor = *at, len = 0, bytes = 0;
    unsigned jumps = 0;
    bool fine = true;
    for (;;) {
        if (pos >= r->size)
            return ERR_PARSE;
        uint8_t n = r->data[pos];
        if ((n & POINTER) == POINTER) {
            if (pos + 2 > r->size)
                return ERR_PARSE;
            size_t to = (size_t)(n & LABEL_MAX) << 8 | r->data[pos + 1];
            if (jumps == 0)
                *at = pos + 2;
            if (to >= floor || ++jumps > JUMPS_MAX)
                return ERR_PARSE;
            pos = floor = to;
            continue;
        }
        bytes += 1u + n;
        if (n > LABEL_MAX || pos + 1 + n > r->size || bytes > NAME_BYTES_MAX)
            return ERR_PARSE;
        pos += 1u + n;
        if (n == 0)
            break;
        fine = fine && put_label(out, &len, r->data + pos - n, n);
    }
    if (jumps == 0)
        *at = pos;
    out[fine && len > 0 ? len - 1 : 0] = '\0';
    return 0;
}

/* Make room for one more of `count` items. False: enough of them, or no memory (*rc). */
static bool room(void **items, size_t count, size_t *cap, size_t size, struct dns_records *out,
                 int *rc)
{
    if (count == DNS_RECORDS_MAX) {
        out->cut = true;
        return false;
    }
    if (count < *cap)
        return true;
    size_t more = *cap == 0 ? 8 : *cap * 2;
    void *fresh = mem_realloc_array(*items, more, size);
    if (fresh == NULL) {
        *rc = ERR_NOMEM;
        return false;
    }
    *items = fresh;
    *cap = more;
    return true;
}

static struct addr addr_of(enum dns_type type, const uint8_t *rdata)
{
    struct addr a = {.family = type == DNS_A ? 4 : 6};
    memcpy(a.ip, rdata, type == DNS_A ? 4 : 16);
    return a;
}

static int take_addr(struct reader *r, enum dns_type type, const uint8_t *rdata)
{
    int rc = 0;
    void *items = r->out->addrs;
    if (room(&items, r->out->addr_count, &r->addr_room, sizeof *r->out->addrs, r->out, &rc)) {
        r->out->addrs = items;
        r->out->addrs[r->out->addr_count++] = addr_of(type, rdata);
    }
    return rc;
}

static int take_extra(struct reader *r, enum dns_type type, const char *owner,
                      const uint8_t *rdata)
{
    int rc = 0;
    void *items = r->extras;
    if (room(&items, r->extra_count, &r->extra_room, sizeof *r->extras, r->out, &rc)) {
        r->extras = items;
        struct extra *e = &r->extras[r->extra_count++];
        memcpy(e->owner, owner, sizeof e->owner);
        e->addr = addr_of(type, rdata);
    }
    return rc;
}

static int take_srv(struct reader *r, size_t rdata, size_t size)
{
    int rc = 0;
    char target[DNS_NAME_MAX];
    const uint8_t *p = r->data + rdata;
    size_t at = rdata + 6;
    if (size < 7)
        return ERR_PARSE;
    if (read_name(r, &at, target) != 0 || at > rdata + size)
        return ERR_PARSE;
    void *items = r->out->srvs;
    if (target[0] == '\0' ||
        !room(&items, r->out->srv_count, &r->srv_room, sizeof *r->out->srvs, r->out, &rc))
        return rc;
    r->out->srvs = items;
    struct dns_srv *s = &r->out->srvs[r->out->srv_count++];
    *s = (struct dns_srv){.priority = u16(p), .weight = u16(p + 2), .port = u16(p + 4)};
    memcpy(s->target, target, sizeof target);
    return 0;
}

/* One record; `additional`: of the third section. */
static int read_record(struct reader *r, bool answer, bool additional)
{
    char owner[DNS_NAME_MAX];
    int rc = read_name(r, &r->at, owner);
    if (rc != 0 || r->size - r->at < 10)
        return ERR_PARSE;
    unsigned type = u16(r->data + r->at), class = u16(r->data + r->at + 2);
    size_t size = u16(r->data + r->at + 8), rdata = r->at + 10;
    if (size > r->size - rdata)
        return ERR_PARSE;
    r->at = rdata + size;
    bool is_addr = (type == DNS_A && size == 4) || (type == DNS_AAAA && size == 16);
    if (class != CLASS_IN)
        return 0;
    if (additional && r->type == DNS_SRV && is_addr && owner[0] != '\0')
        return take_extra(r, (enum dns_type)type, owner, r->data + rdata);
    if (!answer || type != (unsigned)r->type)
        return 0;
    if (type == DNS_SRV)
        return take_srv(r, rdata, size);
    return is_addr ? take_addr(r, (enum dns_type)type, r->data + rdata) : ERR_PARSE;
}

static int by_owner(const void *a, const void *b)
{
    return strcmp(((const struct extra *)a)->owner, ((const struct extra *)b)->owner);
}

/* The first of the sorted extras whose owner is not before `name`. */
static size_t first_extra(const struct reader *r, const char *name)
{
    size_t low = 0, high = r->extra_count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (strcmp(r->extras[mid].owner, name) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* Give the targets their addresses. Several records of one target share nothing: each gets its
 * own copies, while there is room. */
static int match_extras(struct reader *r)
{
    int rc = 0;
    if (r->extra_count > 1)
        qsort(r->extras, r->extra_count, sizeof *r->extras, by_owner);
    for (size_t i = 0; rc == 0 && i < r->out->srv_count; i++) {
        struct dns_srv *s = &r->out->srvs[i];
        s->addr_first = (uint32_t)r->out->addr_count;
        for (size_t k = first_extra(r, s->target);
             rc == 0 && k < r->extra_count && strcmp(r->extras[k].owner, s->target) == 0; k++)
            rc = take_addr(r, r->extras[k].addr.family == 4 ? DNS_A : DNS_AAAA,
                           r->extras[k].addr.ip);
        s->addr_count = (uint32_t)r->out->addr_count - s->addr_first;
    }
    return rc;
}

static int read_all(struct reader *r)
{
    char name[DNS_NAME_MAX];
    int rc = 0;
    if (r->size < HEADER || (r->data[2] & FLAG_ANSWER) == 0)
        return ERR_PARSE;
    unsigned questions = u16(r->data + 4), answers = u16(r->data + 6);
    unsigned authority = u16(r->data + 8), additional = u16(r->data + 10);
    r->at = HEADER;
    for (unsigned i = 0; i < questions; i++) {
        if (read_name(r, &r->at, name) != 0 || r->size - r->at < 4)
            return ERR_PARSE;
        r->at += 4;
    }
    for (unsigned i = 0; rc == 0 && i < answers + authority + additional; i++)
        rc = read_record(r, i < answers, i >= answers + authority);
    return rc == 0 ? match_extras(r) : rc;
}

int dns_msg_read(struct str msg, enum dns_type type, struct dns_records *out)
{
    struct reader r = {
        .data = (const uint8_t *)msg.data, .size = msg.len, .type = type, .out = out};
    int rc = read_all(&r);
    mem_free(r.extras);
    if (rc != 0)
        dns_records_reset(out);
    return rc;
}

void dns_records_reset(struct dns_records *r)
{
    mem_free(r->addrs);
    mem_free(r->srvs);
    *r = (struct dns_records){0};
}
