/* disco/entry.c - entries taken apart, with a reason for what is none. */
#include "disco/entry.h"

#include <string.h>

static const struct {
    struct str scheme;
    enum disco_kind kind;
} schemes[] = {
    {STR_INIT("dns"), DISCO_HOST},
    {STR_INIT("dnssrv"), DISCO_SRV},
    {STR_INIT("dnssrvnoa"), DISCO_SRV_NOA},
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_name_char(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
}

/* NULL, or what is wrong with the name of a host. */
static const char *name_fault(struct str name)
{
    if (name.len > 0 && name.data[name.len - 1] == '.')
        name.len--; /* rooted */
    if (name.len == 0)
        return "there is no name";
    if (name.len > 253)
        return "the name is longer than 253 bytes";
    bool digits = false;
    for (struct str rest = name, label; str_cut(&rest, '.', &label);) {
        if (label.len == 0 || label.len > 63)
            return "a part between dots is empty or longer than 63 bytes";
        digits = true;
        for (size_t i = 0; i < label.len; i++) {
            if (!is_name_char(label.data[i]))
                return "a name has letters, digits, '-', '_' and dots";
            digits = digits && is_digit(label.data[i]);
        }
    }
    if (name.data[name.len - 1] == '.')
        return "a part between dots is empty or longer than 63 bytes";
    return digits ? "neither an IP address nor a name" : NULL;
}

static int parse_port(struct str digits, uint16_t *port)
{
    uint64_t n = 0;
    if (str_u64(digits, &n) != 0 || n == 0 || n > UINT16_MAX)
        return ERR_PARSE;
    *port = (uint16_t)n;
    return 0;
}

static int fault(struct err *err, struct str text, const char *what)
{
    return err_set(err, ERR_PARSE, "\"%.*s\": %s", STR_ARG(str_head(text, 100)), what);
}

static int parse_literal(struct str text, uint16_t default_port, struct addr *out)
{
    struct addr a;
    if (addr_parse(&a, text, default_port) != 0 || a.port == 0)
        return ERR_PARSE;
    *out = a;
    return 0;
}

int disco_entry_parse(struct disco_entry *out, struct str text, uint16_t default_port,
                      struct err *err)
{
    struct disco_entry e = {.kind = DISCO_HOST};
    struct str name = text;
    size_t plus = str_find(text, '+');
    if (plus != SIZE_MAX) {
        size_t i = 0, known = sizeof schemes / sizeof schemes[0];
        while (i < known && !str_eq(schemes[i].scheme, str_head(text, plus)))
            i++;
        if (i == known)
            return fault(err, text, "the words before '+' are dns, dnssrv and dnssrvnoa");
        e.kind = schemes[i].kind;
        name = str_skip(text, plus + 1);
    }
    if (e.kind == DISCO_HOST && parse_literal(name, default_port, &e.addr) == 0) {
        e.kind = DISCO_ADDR;
        *out = e;
        return 0;
    }
    size_t colon = str_find(name, ':');
    bool bracket = name.len > 0 && name.data[0] == '[';
    if (bracket || (colon != SIZE_MAX && str_rfind(name, ':') != colon))
        return fault(err, text, "no IPv6 address; with a port it is [address]:port");
    if (colon != SIZE_MAX && parse_port(str_skip(name, colon + 1), &e.port) != 0)
        return fault(err, text, "the port is not in 1 to 65535");
    name = str_head(name, colon == SIZE_MAX ? name.len : colon);
    const char *what = name_fault(name);
    if (e.port == 0 && e.kind == DISCO_HOST)
        e.port = default_port;
    if (what == NULL && e.port == 0 && e.kind == DISCO_HOST)
        what = "the port is missing";
    if (what != NULL)
        return fault(err, text, what);
    memcpy(e.name, name.data, name.len);
    *out = e;
    return 0;
}
