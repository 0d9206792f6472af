/* profile/regex_re2.cc - RE2 behind C functions. Nothing may throw out of here. */
#include "profile/regex_priv.h"

#include <cstring>
#include <new>
#include <string>

#include <re2/re2.h>

struct engine {
    re2::RE2 re;

    engine(const re2::StringPiece &pattern, const re2::RE2::Options &options)
        : re(pattern, options)
    {
    }
};

static void say(char *out, size_t size, const std::string &text)
{
    size_t n = text.size() < size - 1 ? text.size() : size - 1;
    std::memcpy(out, text.data(), n);
    out[n] = '\0';
}

enum engine_result engine_init(struct engine **out, const char *pattern, size_t len,
                               size_t program_max, char *why, size_t why_size)
{
    try {
        re2::RE2::Options options;
        options.set_log_errors(false);
        options.set_dot_nl(true);
        options.set_max_mem(static_cast<int64_t>(program_max));
        engine *e = new engine(re2::StringPiece(pattern, len), options);
        if (e->re.ok() && e->re.NumberOfCapturingGroups() <= ENGINE_GROUPS_MAX) {
            *out = e;
            return ENGINE_OK;
        }
        bool syntax = !e->re.ok() && e->re.error_code() != re2::RE2::ErrorPatternTooLarge;
        if (syntax)
            say(why, why_size, e->re.error());
        delete e;
        return syntax ? ENGINE_SYNTAX : ENGINE_TOO_LARGE;
    } catch (...) {
        return ENGINE_NO_MEMORY;
    }
}

bool engine_match(const struct engine *e, const char *text, size_t len,
                  struct engine_span *spans, size_t count)
{
    try {
        re2::StringPiece groups[ENGINE_GROUPS_MAX + 1];
        re2::StringPiece whole(len == 0 ? "" : text, len);
        if (count > ENGINE_GROUPS_MAX + 1)
            count = ENGINE_GROUPS_MAX + 1;
        if (!e->re.Match(whole, 0, len, re2::RE2::ANCHOR_BOTH, groups, static_cast<int>(count)))
            return false;
        for (size_t i = 0; i < count; i++)
            spans[i] = {groups[i].data(), groups[i].size()};
        return true;
    } catch (...) {
        return false;
    }
}

size_t engine_groups(const struct engine *e)
{
    return static_cast<size_t>(e->re.NumberOfCapturingGroups());
}

size_t engine_group(const struct engine *e, const char *name, size_t len)
{
    try {
        auto it = e->re.NamedCapturingGroups().find(std::string(name, len));
        return it == e->re.NamedCapturingGroups().end() ? 0 : static_cast<size_t>(it->second);
    } catch (...) {
        return 0;
    }
}

void engine_free(struct engine *e)
{
    delete e;
}
