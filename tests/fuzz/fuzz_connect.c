/* Whatever stands in headers and error bodies is read or refused, and what is written is read. */
#include "rpc/connect.h"

#include "base/assert.h"
#include "base/mem.h"
#include "net/addr.h"
#include "net/http.h"
#include "rpc/tenant.h"

#include <stddef.h>

enum { LIMIT = 1 << 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_headers(struct str text)
{
    enum rpc_codec codec;
    enum rpc_coding coding;
    enum rpc_code code;
    uint64_t ms;
    struct str id;
    struct addr a, b;
    char again[ADDR_TEXT_MAX];
    rpc_codec_of_type(text, &codec);
    rpc_coding_parse(text, &coding);
    rpc_coding_pick(text, RPC_GZIP, true);
    rpc_code_parse(text, &code);
    ASSERT(rpc_timeout_parse(text, &ms) != 0 || ms <= 9999999999);
    ASSERT(tenant_of_header(true, text, &id, NULL) != 0 || tenant_is_valid(id));
    http_accepts_encoding(text, STR("gzip"));
    if (addr_parse(&a, text, 1) == 0)
        ASSERT(addr_parse(&b, str_c(addr_text(&a, again)), 0) == 0 && addr_eq(&a, &b));
}

static void read_error(struct str text)
{
    enum rpc_code code, second;
    char message[128];
    struct buf b = {0};
    if (rpc_error_parse(text, &code, message, sizeof message) == 0) {
        rpc_error_json(code, str_c(message), &b);
        ASSERT(rpc_error_parse(buf_view(&b), &second, message, sizeof message) == 0);
        ASSERT(code == second);
    }
    buf_clear(&b);
    rpc_error_json(RPC_INTERNAL, text, &b); /* any bytes make a message */
    ASSERT(b.error == 0);
    /* Our reader takes no zero bytes in strings, and no endless errors. */
    if (b.size < 60000 && str_find(text, '\0') == SIZE_MAX)
        ASSERT(rpc_error_parse(buf_view(&b), &code, message, sizeof message) == 0);
    buf_reset(&b);
}

static void percent(struct str text)
{
    struct buf b = {0};
    char *back = mem_alloc(3 * text.len + 1);
    ASSERT(back != NULL && http_percent_decode(text, true, back) <= text.len);
    http_percent_encode(text, &b);
    size_t n = http_percent_decode(buf_view(&b), true, back);
    ASSERT(str_eq(str_of(back, n), text));
    buf_reset(&b);
    mem_free(back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct str text = str_of(data + 1, size - 1);
    struct buf out = {0};
    switch (data[0] % 5) {
    case 0: read_headers(text); break;
    case 1: read_error(text); break;
    case 2: percent(text); break;
    case 3: rpc_unpack(RPC_LZ4, text, LIMIT, &out, NULL); break;
    default: rpc_unpack(RPC_GZIP, text, LIMIT, &out, NULL); break;
    }
    ASSERT(out.size <= LIMIT);
    buf_reset(&out);
    return 0;
}
