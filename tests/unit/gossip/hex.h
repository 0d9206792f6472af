/* Hexadecimal bytes in tests: HEX(buf, "0082..") fills a struct buf, assert_hex compares. */
#ifndef TESTS_GOSSIP_HEX_H
#define TESTS_GOSSIP_HEX_H

#include "base/buf.h"

static inline uint8_t hex_nibble(char c)
{
    return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

/* Append the bytes of a text of hexadecimal digits. */
static inline void hex_put(struct buf *out, const char *text)
{
    for (; text[0] != '\0'; text += 2)
        buf_u8(out, (uint8_t)(hex_nibble(text[0]) << 4 | hex_nibble(text[1])));
}

/* `got` is exactly the bytes of the hexadecimal text. */
static inline void assert_hex(struct str got, const char *text)
{
    struct buf want = {0};
    hex_put(&want, text);
    assert_int_equal(got.len, want.size);
    assert_memory_equal(got.data, want.data, want.size);
    buf_reset(&want);
}

/* The address of the vectors, in its 16-byte form. */
#define VECTOR_IP "00000000000000000000ffff0a000005"
#define VECTOR_ALIVE                                                                           \
    "0486a441646472b0" VECTOR_IP "ab496e6361726e6174696f6e01a44d657461c0a44e6f6465a161"        \
    "a4506f7274cd1f0aa356736ea6010502000000"
#define VECTOR_ALIVE_LZW                                                                       \
    "0009182215840c1939b000285cc8f0df3f050a0bac4ae2664c18396ec2d049f3c64d00524dcad009038c9493" \
    "3764ca840a430aca1b39749a7d5030caca1c37a6021410b03020"
#define VECTOR_PAIR                                                                            \
    "0a0f636f6c6c6563746f72732f72696e67123937d80a350a05696e672d30122c0a0d31302e302e302e353a34" \
    "3034301080e2cfaa06320801ac02ffffffff0f40f6e1cfaa064a05696e672d301a0872696e6744657363"
#define VECTOR_TCP_PACKET                                                                      \
    "010d31302e302e302e353a37393436f404746573740c561ac79908" VECTOR_PAIR                       \
    "d225747615601f38f7fd7a11b977e6d7"

#endif
