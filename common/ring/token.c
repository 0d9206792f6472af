/* ring/token.c - tokens. */
#include "ring/token.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/rng.h"
#include "ring/desc.h"
#include "ring/desc_priv.h"
#include "wire/hash.h"

void ring_tokens_reset(struct ring_tokens *t)
{
    mem_free(t->all);
    *t = (struct ring_tokens){NULL, 0};
}

int ring_tokens_copy(struct ring_tokens *out, const uint32_t *tokens, uint32_t count)
{
    struct ring_tokens t = {NULL, 0};
    if (count > 0) {
        t.all = mem_dup(tokens, count * sizeof *tokens);
        if (t.all == NULL)
            return ERR_NOMEM;
        t.count = ring_tokens_sort(t.all, count);
    }
    *out = t;
    return 0;
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static bool has(const uint32_t *sorted, size_t count, uint32_t token)
{
    return count > 0 && bsearch(&token, sorted, count, sizeof token, by_value) != NULL;
}

/* All tokens of the ring, sorted. */
static int gather(const struct ring_desc *d, uint32_t **out, size_t *count)
{
    size_t sum = 0, n = 0;
    for (size_t i = 0; d != NULL && i < ring_desc_count(d); i++)
        sum += ring_desc_at(d, i)->token_count;
    uint32_t *all = mem_calloc(sum + 1, sizeof *all);
    if (all == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; d != NULL && i < ring_desc_count(d); i++) {
        const struct ring_instance *in = ring_desc_at(d, i);
        if (in->token_count > 0)
            memcpy(all + n, in->tokens, in->token_count * sizeof *all);
        n += in->token_count;
    }
    if (n > 0)
        qsort(all, n, sizeof *all, by_value);
    *out = all;
    *count = n;
    return 0;
}

int ring_tokens_add(struct ring_tokens *t, uint32_t count, const struct ring_desc *taken,
                    struct rng *rng)
{
    uint32_t *theirs = NULL;
    size_t their_count = 0;
    if (count > RING_TOKENS_MAX || t->count > RING_TOKENS_MAX - count)
        return ERR_LIMIT;
    int rc = gather(taken, &theirs, &their_count);
    if (rc != 0)
        return rc;
    uint32_t want = t->count + count, have = t->count;
    uint32_t *all = mem_calloc((size_t)want + 1, sizeof *all);
    if (all == NULL) {
        mem_free(theirs);
        return ERR_NOMEM;
    }
    if (have > 0)
        memcpy(all, t->all, have * sizeof *all);
    /* Draw what is missing, sort, drop repetitions, until enough; seldom more than once. */
    while (have < want) {
        while (have < want) {
            uint32_t token = rng_u32(rng);
            if (!has(theirs, their_count, token))
                all[have++] = token;
        }
        have = ring_tokens_sort(all, have);
    }
    mem_free(theirs);
    mem_free(t->all);
    *t = (struct ring_tokens){all, want};
    return 0;
}

void ring_tokens_shrink(struct ring_tokens *t, uint32_t count, struct rng *rng)
{
    while (t->count > count) {
        uint32_t i = (uint32_t)rng_below(rng, t->count);
        t->all[i] = t->all[--t->count];
    }
    if (t->count > 0)
        t->count = ring_tokens_sort(t->all, t->count);
}

void ring_tokens_to_json(const struct ring_tokens *t, struct buf *out)
{
    buf_c(out, "{\"tokens\":[");
    for (uint32_t i = 0; i < t->count; i++) {
        if (i > 0)
            buf_u8(out, ',');
        buf_udec(out, t->all[i]);
    }
    buf_c(out, "]}");
}

static void skip_blanks(struct str *s)
{
    while (s->len > 0 && (s->data[0] == ' ' || s->data[0] == '\n' || s->data[0] == '\r' ||
                          s->data[0] == '\t'))
        *s = str_skip(*s, 1);
}

/* `text` is next in *s: move behind it. */
static bool eat(struct str *s, const char *text)
{
    skip_blanks(s);
    if (!str_starts_with(*s, str_c(text)))
        return false;
    *s = str_skip(*s, strlen(text));
    return true;
}

static int parse_list(struct str *s, uint32_t *room, uint32_t *count)
{
    if (eat(s, "]"))
        return 0;
    do {
        size_t n = 0;
        uint64_t v;
        skip_blanks(s);
        while (n < s->len && s->data[n] >= '0' && s->data[n] <= '9')
            n++;
        if (str_u64(str_head(*s, n), &v) != 0 || v > UINT32_MAX)
            return ERR_PARSE;
        *s = str_skip(*s, n);
        room[(*count)++] = (uint32_t)v;
    } while (eat(s, ","));
    return eat(s, "]") ? 0 : ERR_PARSE;
}

int ring_tokens_from_json(struct ring_tokens *out, struct str text, struct err *err)
{
    size_t commas = 0;
    struct str s = text;
    uint32_t count = 0;
    for (size_t i = 0; i < text.len; i++)
        commas += text.data[i] == ',';
    if (commas >= RING_TOKENS_MAX)
        return err_set(err, ERR_LIMIT, "tokens: more than %d", RING_TOKENS_MAX);
    uint32_t *room = mem_calloc(commas + 1, sizeof *room);
    if (room == NULL)
        return err_set(err, ERR_NOMEM, "tokens: out of memory");
    int rc = eat(&s, "{") && eat(&s, "\"tokens\"") && eat(&s, ":") ? 0 : ERR_PARSE;
    if (rc == 0 && !eat(&s, "null"))
        rc = eat(&s, "[") ? parse_list(&s, room, &count) : ERR_PARSE;
    if (rc == 0)
        rc = eat(&s, "}") ? 0 : ERR_PARSE;
    skip_blanks(&s);
    if (rc == 0 && s.len > 0)
        rc = ERR_PARSE;
    struct ring_tokens t = {NULL, 0};
    if (rc == 0)
        rc = ring_tokens_copy(&t, room, count);
    mem_free(room);
    if (rc != 0)
        return err_set(err, rc, "tokens: byte %zu: %s", text.len - s.len, err_text(rc));
    *out = t;
    return 0;
}

uint32_t ring_token_of(struct str tenant, struct str service)
{
    uint32_t h = hash_fnv1_32(FNV1_32_START, tenant);
    h = hash_fnv1_32(h, str_of("", 1));
    return hash_fnv1_32(h, service);
}
