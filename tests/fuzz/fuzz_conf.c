/* A configuration text, expanded and loaded: never a crash, a leak or a text that grows. */
#include <stddef.h>
#include <stdint.h>

#include "conf/conf.h"
#include "conf/env.h"

struct fuzz_target {
    struct conf_list list;
    bool flag;
    uint32_t number, ms;
    uint64_t size;
    double ratio;
    const char *text;
};

static const struct conf_row rows[] = {
    CONF_LIST_ROW(fuzz_target, list, "join", "join_members", "", 0, "."),
    CONF_BOOL_ROW(fuzz_target, flag, "flag", "flag", "false", 0, "."),
    CONF_U32_ROW(fuzz_target, number, "number", "number", "1", 0, "."),
    CONF_MS_ROW(fuzz_target, ms, "ms", "nested.ms", "1s", 0, "."),
    CONF_SIZE_ROW(fuzz_target, size, "size", "nested.size", "1", 0, "."),
    CONF_DOUBLE_ROW(fuzz_target, ratio, "ratio", "nested.ratio", "1", 0, "."),
    CONF_STR_ROW(fuzz_target, text, "text", "text", "", 0, "."),
    {.type = CONF_END},
};

static const char *env(void *arg, const char *name)
{
    (void)arg;
    return name[0] == 'A' ? "value" : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_target t;
    struct conf_section section = {"M", "memberlist.", "memberlist", rows, &t, NULL};
    struct conf *c = NULL;
    struct buf text = {.limit = 1 << 20};
    if (conf_init(&c, &section, 1, NULL) != 0)
        return 0;
    struct err err = {0};
    if (conf_yaml(c, str_of(data, size), "fuzz", &err) == 0 && conf_apply(c, &err) == 0) {
        struct buf dump = {0};
        conf_dump(c, &dump);
        buf_reset(&dump);
    }
    if (conf_expand_env(str_of(data, size), env, NULL, &text, &err) == 0 && text.error == 0)
        (void)conf_yaml(c, buf_view(&text), "fuzz", &err);
    buf_reset(&text);
    conf_free(&c);
    return 0;
}
