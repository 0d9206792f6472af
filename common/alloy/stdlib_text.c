/* alloy/stdlib_text.c - functions on strings, and the environment. Upper and lower case are
 * changed for ASCII and Latin-1, Greek and Cyrillic basic letters. */
#include "alloy/eval_priv.h"

#include "base/mem.h"

static struct str arg(const struct alloy_call *c, size_t i)
{
    return c->args[i].string;
}

static int run_env(struct alloy_call *c, struct alloy_value *out)
{
    struct alloy_eval *ev = c->ev;
    /* Converted arguments have a NUL behind them. */
    const char *value = ev->env == NULL ? NULL : ev->env(ev->env_arg, arg(c, 0).data);
    struct str s = str_dup(ev->arena, str_c(value));
    if (s.data == NULL)
        return alloy_eval_nomem(ev);
    *out = alloy_value_string(s);
    return 0;
}

static int run_format(struct alloy_call *c, struct alloy_value *out)
{
    struct buf b = {.limit = ALLOY_EVAL_BYTES_MAX};
    alloy_sprintf(arg(c, 0), c->args + 1, c->count - 1, &b);
    return alloy_take_string(c->ev, &b, out);
}

static int run_join(struct alloy_call *c, struct alloy_value *out)
{
    struct buf b = {.limit = ALLOY_EVAL_BYTES_MAX};
    const struct alloy_array *list = &c->args[0].array;
    for (size_t i = 0; i < list->count; i++) {
        if (i > 0)
            buf_str(&b, arg(c, 1));
        buf_str(&b, list->items[i].string);
    }
    return alloy_take_string(c->ev, &b, out);
}

/* Where `needle` (not empty) first stands in s, or SIZE_MAX. The windows grow, so that the cost
 * is that of the way to it, also where memmem() is instrumented. */
static size_t find_text(struct str s, struct str needle)
{
    size_t window = needle.len * 2 > 256 ? needle.len * 2 : 256;
    for (;; window *= 4) {
        size_t n = window < s.len ? window : s.len;
        const char *at = n == 0 ? NULL : memmem(s.data, n, needle.data, needle.len);
        if (at != NULL)
            return (size_t)(at - s.data);
        if (n == s.len)
            return SIZE_MAX;
    }
}

static size_t rune_size(struct str s)
{
    size_t n;
    (void)alloy_rune(s, &n);
    return n;
}

static int run_replace(struct alloy_call *c, struct alloy_value *out)
{
    struct buf b = {.limit = ALLOY_EVAL_BYTES_MAX};
    struct str rest = arg(c, 0), from = arg(c, 1), to = arg(c, 2);
    if (from.len == 0)
        buf_str(&b, to);
    while (rest.len > 0 && b.error == 0) {
        size_t n = from.len == 0 ? rune_size(rest) : find_text(rest, from);
        bool found = n != SIZE_MAX;
        buf_str(&b, str_head(rest, n));
        if (found)
            buf_str(&b, to);
        rest = str_skip(rest, found ? n + from.len : rest.len);
    }
    return alloy_take_string(c->ev, &b, out);
}

/* Number of parts, and the parts too when `items` is not NULL. */
static size_t split(struct str s, struct str by, struct alloy_value *items)
{
    size_t count = 0;
    while (by.len == 0 ? s.len > 0 : true) {
        size_t n = by.len == 0 ? rune_size(s) : find_text(s, by);
        if (items != NULL)
            items[count] = alloy_value_string(str_head(s, n));
        count++;
        if (n == SIZE_MAX)
            break;
        s = str_skip(s, n + by.len);
    }
    return count;
}

static int run_split(struct alloy_call *c, struct alloy_value *out)
{
    size_t count = split(arg(c, 0), arg(c, 1), NULL);
    struct alloy_value *items = alloy_eval_alloc(c->ev, count, sizeof *items);
    if (items == NULL)
        return alloy_eval_nomem(c->ev);
    (void)split(arg(c, 0), arg(c, 1), items);
    *out = (struct alloy_value){.type = ALLOY_ARRAY, .array = {count, items}};
    return 0;
}

/* The other case of a letter of the alphabets above, or the letter. */
static int32_t change_case(int32_t r, bool upper)
{
    static const struct {
        int32_t first, last, distance;
    } ranges[] = {
        {'A', 'Z', 32},     {0xc0, 0xd6, 32},   {0xd8, 0xde, 32},   {0x391, 0x3a1, 32},
        {0x3a3, 0x3ab, 32}, {0x410, 0x42f, 32}, {0x400, 0x40f, 80},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        int32_t d = ranges[i].distance, base = upper ? r - d : r;
        if (base >= ranges[i].first && base <= ranges[i].last)
            return upper ? r - d : r + d;
    }
    return r;
}

static int run_case(struct alloy_call *c, bool upper, struct alloy_value *out)
{
    struct buf b = {.limit = ALLOY_EVAL_BYTES_MAX};
    struct str s = arg(c, 0);
    for (size_t n; s.len > 0; s = str_skip(s, n)) {
        int32_t r = alloy_rune(s, &n);
        char bytes[4];
        if (r < 0)
            buf_put(&b, s.data, 1);
        else
            buf_put(&b, bytes, alloy_rune_put(change_case(r, upper), bytes));
    }
    return alloy_take_string(c->ev, &b, out);
}

static int run_to_lower(struct alloy_call *c, struct alloy_value *out)
{
    return run_case(c, false, out);
}

static int run_to_upper(struct alloy_call *c, struct alloy_value *out)
{
    return run_case(c, true, out);
}

static bool has_rune(struct str set, int32_t rune)
{
    for (size_t n; set.len > 0; set = str_skip(set, n))
        if (alloy_rune(set, &n) == rune)
            return true;
    return false;
}

static bool is_space(int32_t r)
{
    return r == ' ' || (r >= '\t' && r <= '\r') || r == 0x85 || r == 0xa0 || r == 0x1680 ||
           (r >= 0x2000 && r <= 0x200a) || r == 0x2028 || r == 0x2029 || r == 0x202f ||
           r == 0x205f || r == 0x3000;
}

/* Bytes of the last character of s, which has one. */
static size_t last_size(struct str s)
{
    size_t n = 1;
    while (n < 4 && n < s.len && ((unsigned char)s.data[s.len - n] & 0xc0) == 0x80)
        n++;
    return rune_size(str_skip(s, s.len - n)) == n ? n : 1;
}

/* Without the characters of `set` (spaces when NULL) at both ends. */
static struct alloy_value trim(struct str s, const struct str *set)
{
    size_t n;
    while (s.len > 0) {
        int32_t r = alloy_rune(s, &n);
        if (set == NULL ? !is_space(r) : !has_rune(*set, r))
            break;
        s = str_skip(s, n);
    }
    while (s.len > 0) {
        size_t size = last_size(s);
        int32_t r = alloy_rune(str_skip(s, s.len - size), &n);
        if (set == NULL ? !is_space(r) : !has_rune(*set, r))
            break;
        s.len -= size;
    }
    return alloy_value_string(s);
}

static int run_trim(struct alloy_call *c, struct alloy_value *out)
{
    struct str set = arg(c, 1);
    *out = trim(arg(c, 0), &set);
    return 0;
}

static int run_trim_space(struct alloy_call *c, struct alloy_value *out)
{
    *out = trim(arg(c, 0), NULL);
    return 0;
}

static int run_trim_prefix(struct alloy_call *c, struct alloy_value *out)
{
    struct str s = arg(c, 0), prefix = arg(c, 1);
    *out = alloy_value_string(str_starts_with(s, prefix) ? str_skip(s, prefix.len) : s);
    return 0;
}

static int run_trim_suffix(struct alloy_call *c, struct alloy_value *out)
{
    struct str s = arg(c, 0), suffix = arg(c, 1);
    *out = alloy_value_string(str_ends_with(s, suffix) ? str_head(s, s.len - suffix.len) : s);
    return 0;
}

const struct alloy_function alloy_text_functions[] = {
    {"sys.env", "env", "s", run_env},
    {"string.format", "format", "sv*", run_format},
    {"string.join", "join", "ls", run_join},
    {"string.replace", "replace", "sss", run_replace},
    {"string.split", "split", "ss", run_split},
    {"string.to_lower", "to_lower", "s", run_to_lower},
    {"string.to_upper", "to_upper", "s", run_to_upper},
    {"string.trim", "trim", "ss", run_trim},
    {"string.trim_prefix", "trim_prefix", "ss", run_trim_prefix},
    {"string.trim_suffix", "trim_suffix", "ss", run_trim_suffix},
    {"string.trim_space", "trim_space", "s", run_trim_space},
    {0},
};
