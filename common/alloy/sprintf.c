/* alloy/sprintf.c - string.format: the verbs of Go's fmt that make sense for these values. */
#include "alloy/eval_priv.h"

#include <math.h>
#include <stdio.h>

#include "alloy/format.h"

enum { WIDTH_MAX = 4096, PRECISION_MAX = 100 };

struct verb {
    bool minus, plus, space, zero, sharp, has_precision;
    int width, precision;
    char letter;
};

static int take_int(struct str *s, int most)
{
    int n = 0;
    while (s->len > 0 && s->data[0] >= '0' && s->data[0] <= '9') {
        n = n * 10 + (s->data[0] - '0');
        n = n < most ? n : most;
        *s = str_skip(*s, 1);
    }
    return n;
}

/* What stands behind a percent sign, up to its letter; letter 0 when the text ends. */
static struct verb take_verb(struct str *s)
{
    struct verb v = {0};
    for (; s->len > 0 && s->data[0] != '\0' && strchr("-+ 0#", s->data[0]) != NULL;
         *s = str_skip(*s, 1)) {
        char c = s->data[0];
        v.minus = v.minus || c == '-';
        v.plus = v.plus || c == '+';
        v.space = v.space || c == ' ';
        v.zero = v.zero || c == '0';
        v.sharp = v.sharp || c == '#';
    }
    v.width = take_int(s, WIDTH_MAX);
    if (s->len > 0 && s->data[0] == '.') {
        *s = str_skip(*s, 1);
        v.has_precision = true;
        v.precision = take_int(s, PRECISION_MAX);
    }
    if (s->len > 0) {
        v.letter = s->data[0];
        *s = str_skip(*s, 1);
    }
    return v;
}

static size_t count_runes(struct str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++)
        n += ((unsigned char)s.data[i] & 0xc0) != 0x80;
    return n;
}

/* The text at its width. */
static void put_padded(const struct verb *v, struct str s, struct buf *out)
{
    size_t have = count_runes(s), want = (size_t)v->width;
    size_t pad = want > have ? want - have : 0;
    bool zeros = v->zero && !v->minus;
    if (zeros && s.len > 0 && (s.data[0] == '-' || s.data[0] == '+')) {
        buf_u8(out, (uint8_t)s.data[0]);
        s = str_skip(s, 1);
    }
    for (size_t i = 0; i < pad && !v->minus; i++)
        buf_u8(out, zeros ? '0' : ' ');
    buf_str(out, s);
    for (size_t i = 0; i < pad && v->minus; i++)
        buf_u8(out, ' ');
}

static void put_digits(uint64_t n, unsigned base, bool upper, struct buf *out)
{
    char text[65];
    size_t at = sizeof text;
    do
        text[--at] = (upper ? "0123456789ABCDEF" : "0123456789abcdef")[n % base];
    while ((n /= base) != 0);
    buf_put(out, text + at, sizeof text - at);
}

static void put_integer(const struct verb *v, struct alloy_number n, struct buf *out)
{
    bool minus = n.kind == ALLOY_INT && n.i < 0;
    uint64_t abs = minus ? 0 - n.u : n.u;
    unsigned base = v->letter == 'b'                  ? 2
                    : v->letter == 'o'                ? 8
                    : strchr("xX", v->letter) != NULL ? 16
                                                      : 10;
    if (minus || v->plus || v->space)
        buf_u8(out, minus ? '-' : v->plus ? '+' : ' ');
    if (v->sharp && base == 16)
        buf_c(out, v->letter == 'X' ? "0X" : "0x");
    put_digits(abs, base, v->letter == 'X', out);
}

static void put_float(const struct verb *v, double f, struct buf *out)
{
    char text[512];
    if (v->letter == 'v' || (v->letter == 'g' && !v->has_precision)) {
        double size = fabs(f);
        if (size == 0.0 || (size >= 1e-4 && size < 1e6)) {
            alloy_number_put((struct alloy_number){.kind = ALLOY_FLOAT, .f = f}, out);
            return;
        }
        for (int digits = 0; digits < 17; digits++) {
            (void)snprintf(text, sizeof text, "%.*e", digits, f);
            double back;
            if (sscanf(text, "%lf", &back) == 1 && back == f)
                break;
        }
    } else {
        int precision = v->has_precision ? v->precision : 6;
        const char *sign = v->plus ? "+" : "";
        if (v->letter == 'e')
            (void)snprintf(text, sizeof text, "%s%.*e", f < 0 ? "" : sign, precision, f);
        else if (v->letter == 'g')
            (void)snprintf(text, sizeof text, "%s%.*g", f < 0 ? "" : sign, precision, f);
        else
            (void)snprintf(text, sizeof text, "%s%.*f", f < 0 ? "" : sign, precision, f);
    }
    buf_c(out, text);
}

/* A value as %v has it, nested ones in brackets. */
static void put_any(const struct alloy_value *a, int depth, struct buf *out)
{
    static const struct verb plain = {.letter = 'v'};
    if (a->type == ALLOY_STRING) {
        buf_str(out, a->string);
    } else if (a->type == ALLOY_NUMBER && a->number.kind == ALLOY_FLOAT) {
        put_float(&plain, a->number.f, out);
    } else if (a->type == ALLOY_ARRAY && depth < ALLOY_DEPTH_MAX) {
        buf_u8(out, '[');
        for (size_t i = 0; i < a->array.count; i++) {
            buf_c(out, i > 0 ? " " : "");
            put_any(&a->array.items[i], depth + 1, out);
        }
        buf_u8(out, ']');
    } else if (a->type == ALLOY_OBJECT && depth < ALLOY_DEPTH_MAX) {
        buf_c(out, "map[");
        for (size_t i = 0; i < a->object.count; i++) {
            buf_c(out, i > 0 ? " " : "");
            buf_str(out, a->object.fields[i].key);
            buf_u8(out, ':');
            put_any(&a->object.fields[i].value, depth + 1, out);
        }
        buf_u8(out, ']');
    } else if (a->type == ALLOY_NULL) {
        buf_c(out, "<nil>");
    } else {
        alloy_value_print(a, out);
    }
}

static const char *go_type(const struct alloy_value *a)
{
    switch (a->type) {
    case ALLOY_NUMBER:
        return a->number.kind == ALLOY_FLOAT ? "float64" : "int";
    case ALLOY_STRING:
        return "string";
    case ALLOY_BOOL:
        return "bool";
    case ALLOY_ARRAY:
        return "[]interface {}";
    case ALLOY_OBJECT:
        return "map[string]interface {}";
    case ALLOY_NULL:
    case ALLOY_FUNCTION:
    case ALLOY_CAPSULE:
    default:
        return "<nil>";
    }
}

/* True when the verb fits the value and the text was made. */
static bool put_fitting(const struct verb *v, const struct alloy_value *a, struct buf *text)
{
    bool number = a->type == ALLOY_NUMBER, floating = number && a->number.kind == ALLOY_FLOAT;
    if (v->letter == 'v') {
        if (number && !floating)
            put_integer(v, a->number, text);
        else
            put_any(a, 0, text);
    } else if (a->type == ALLOY_STRING && v->letter == 's') {
        struct str s = a->string;
        size_t at = 0, n;
        for (int i = 0; v->has_precision && i < v->precision && at < s.len; i++, at += n)
            (void)alloy_rune(str_skip(s, at), &n);
        buf_str(text, v->has_precision ? str_head(s, at) : s);
    } else if (a->type == ALLOY_STRING && v->letter == 'q') {
        alloy_quote(a->string, text);
    } else if (a->type == ALLOY_STRING && (v->letter == 'x' || v->letter == 'X')) {
        for (size_t i = 0; i < a->string.len; i++)
            buf_printf(text, v->letter == 'x' ? "%02x" : "%02X",
                       (unsigned)(unsigned char)a->string.data[i]);
    } else if (number && !floating && strchr("dboxX", v->letter) != NULL) {
        put_integer(v, a->number, text);
    } else if (number && !floating && v->letter == 'U') {
        buf_printf(text, "U+%04llX", (unsigned long long)alloy_number_uint(a->number));
    } else if (number && !floating && v->letter == 'c') {
        char bytes[4];
        int64_t r = alloy_number_int(a->number);
        bool valid = r >= 0 && r <= 0x10ffff && !(r >= 0xd800 && r < 0xe000);
        buf_put(text, bytes, alloy_rune_put(valid ? (int32_t)r : 0xfffd, bytes));
    } else if (floating && strchr("feg", v->letter) != NULL) {
        put_float(v, a->number.f, text);
    } else if (a->type == ALLOY_BOOL && v->letter == 't') {
        buf_c(text, a->boolean ? "true" : "false");
    } else {
        return false;
    }
    return true;
}

static void put_value(const struct verb *v, const struct alloy_value *a, struct buf *out)
{
    struct buf text = {.limit = out->limit};
    if (put_fitting(v, a, &text)) {
        put_padded(v, buf_view(&text), out);
    } else {
        buf_printf(out, "%%!%c(%s=", v->letter, go_type(a));
        put_any(a, 0, out);
        buf_u8(out, ')');
    }
    if (text.error != 0)
        out->error = text.error;
    buf_reset(&text);
}

void alloy_sprintf(struct str format, const struct alloy_value *args, size_t count,
                   struct buf *out)
{
    size_t used = 0;
    while (format.len > 0) {
        char c = format.data[0];
        format = str_skip(format, 1);
        if (c != '%') {
            buf_u8(out, (uint8_t)c);
            continue;
        }
        struct verb v = take_verb(&format);
        if (v.letter == '%')
            buf_u8(out, '%');
        else if (v.letter == '\0')
            buf_c(out, "%!(NOVERB)");
        else if (used == count)
            buf_printf(out, "%%!%c(MISSING)", v.letter);
        else
            put_value(&v, &args[used++], out);
    }
    if (used == count)
        return;
    buf_c(out, "%!(EXTRA ");
    for (size_t i = used; i < count; i++) {
        buf_printf(out, "%s%s=", i > used ? ", " : "", go_type(&args[i]));
        put_any(&args[i], 0, out);
    }
    buf_u8(out, ')');
}
