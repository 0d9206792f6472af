/* Tables of names, in the order in which they are tried. */
#include "profile/language.h"

#include "base/mem.h"
#include "profile/labels.h"
#include "profile/pprof.h"

struct spy {
    struct str name;
    const char *language;
};

/* How a symbol of a language begins or ends. */
struct mark {
    struct str text;
    const char *language;
};

static const struct spy spies[] = {
    {STR_INIT("gospy"), "go"},          {STR_INIT("pyspy"), "python"},
    {STR_INIT("rbspy"), "ruby"},        {STR_INIT("nodespy"), "nodejs"},
    {STR_INIT("javaspy"), "java"},      {STR_INIT("grafana-agent.java"), "java"},
    {STR_INIT("dotnetspy"), "dotnet"},  {STR_INIT("phpspy"), "php"},
    {STR_INIT("pyroscope-rs"), "rust"},
};

static const struct mark marks[] = {
    {STR_INIT(".go"), "go"},         {STR_INIT("/usr/local/go/"), "go"},
    {STR_INIT("java/"), "java"},     {STR_INIT("sun/"), "java"},
    {STR_INIT(".rb"), "ruby"},       {STR_INIT("gems/"), "ruby"},
    {STR_INIT(".js"), "nodejs"},     {STR_INIT("./node_modules/"), "nodejs"},
    {STR_INIT("System."), "dotnet"}, {STR_INIT("Microsoft."), "dotnet"},
    {STR_INIT(".py"), "python"},     {STR_INIT("main.rs"), "rust"},
    {STR_INIT("core.rs"), "rust"},
};

const char *language_guess(const struct pprof *p, const struct label *labels, size_t count)
{
    struct str spy = labels_get((struct labels){labels, count}, STR("pyroscope_spy"));
    for (size_t i = 0; i < sizeof spies / sizeof *spies && spy.len > 0; i++)
        if (str_eq(spies[i].name, spy))
            return spies[i].language;
    for (uint32_t i = 0; i < p->string_count; i++) {
        for (size_t k = 0; k < sizeof marks / sizeof *marks; k++)
            if (str_ends_with(p->strings[i], marks[k].text) ||
                str_starts_with(p->strings[i], marks[k].text))
                return marks[k].language;
    }
    return "unknown";
}

struct str go_name_without_shapes(struct str name, struct arena *a)
{
    static const struct str open = STR_INIT("[go.shape."), dots = STR_INIT("[...]");
    for (size_t from = 0; from + open.len < name.len; from++) {
        size_t bracket = str_find(str_skip(name, from), '[');
        if (bracket == SIZE_MAX)
            return name;
        from += bracket;
        if (!str_starts_with(str_skip(name, from), open))
            continue;
        size_t last = str_rfind(name, ']');
        if (last == SIZE_MAX || last < from)
            return name;
        size_t tail = name.len - last - 1;
        struct str out = {arena_alloc(a, from + dots.len + tail), from + dots.len + tail};
        if (out.data == NULL)
            return out;
        char *p = (char *)out.data;
        memcpy(p, name.data, from);
        memcpy(p + from, dots.data, dots.len);
        memcpy(p + from + dots.len, name.data + last + 1, tail);
        return out;
    }
    return name;
}

int go_cut_shapes(struct pprof *p, struct arena *a)
{
    for (uint32_t i = 0; i < p->function_count; i++) {
        uint32_t names[] = {p->functions[i].name, p->functions[i].system_name};
        for (size_t k = 0; k < 2; k++) {
            struct str *s = &p->strings[names[k]];
            if (s->len == 0 || (k == 1 && names[0] == names[1]))
                continue;
            *s = go_name_without_shapes(*s, a);
            if (s->data == NULL)
                return ERR_NOMEM;
        }
    }
    return 0;
}
