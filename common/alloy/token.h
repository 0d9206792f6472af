/* alloy/token.h - the words of a configuration text.
 *
 * A newline ends a statement (ALLOY_T_TERMINATOR) when an identifier, a literal or a closing
 * bracket stands before it, and is a blank otherwise; so does the end of the text. Comments are
 * tokens. Every call makes progress, whatever the bytes; what is wrong is told and a token
 * comes nevertheless. Pure; one owner thread. Tests: tests/unit/alloy/test_parse.c. */
#ifndef ALLOY_TOKEN_H
#define ALLOY_TOKEN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

#define ALLOY_TOKENS(X)                                                                        \
    X(ILLEGAL, "ILLEGAL")                                                                      \
    X(EOF, "EOF")                                                                              \
    X(COMMENT, "COMMENT")                                                                      \
    X(IDENT, "IDENT")                                                                          \
    X(NUMBER, "NUMBER")                                                                        \
    X(FLOAT, "FLOAT")                                                                          \
    X(STRING, "STRING")                                                                        \
    X(BOOL, "BOOL")                                                                            \
    X(NULL, "NULL")                                                                            \
    X(OR, "||")                                                                                \
    X(AND, "&&")                                                                               \
    X(NOT, "!")                                                                                \
    X(ASSIGN, "=")                                                                             \
    X(EQ, "==")                                                                                \
    X(NEQ, "!=")                                                                               \
    X(LT, "<")                                                                                 \
    X(LTE, "<=")                                                                               \
    X(GT, ">")                                                                                 \
    X(GTE, ">=")                                                                               \
    X(ADD, "+")                                                                                \
    X(SUB, "-")                                                                                \
    X(MUL, "*")                                                                                \
    X(DIV, "/")                                                                                \
    X(MOD, "%")                                                                                \
    X(POW, "^")                                                                                \
    X(LCURLY, "{")                                                                             \
    X(RCURLY, "}")                                                                             \
    X(LPAREN, "(")                                                                             \
    X(RPAREN, ")")                                                                             \
    X(LBRACK, "[")                                                                             \
    X(RBRACK, "]")                                                                             \
    X(COMMA, ",")                                                                              \
    X(DOT, ".")                                                                                \
    X(TERMINATOR, "TERMINATOR")

enum alloy_token_kind {
#define X(name, text) ALLOY_T_##name,
    ALLOY_TOKENS(X)
#undef X
};

struct alloy_token {
    enum alloy_token_kind kind;
    uint32_t offset; /* of its first byte */
    struct str text; /* its bytes, quotes included; of a comment without a final CR */
};

struct alloy_lexer {
    struct str text;
    uint32_t at;   /* offset of ch */
    uint32_t next; /* offset behind ch */
    int32_t ch;    /* current character, -1 at the end */
    bool term;     /* a newline here would end a statement */
    /* Told of what is wrong at an offset; message is valid during the call. */
    void (*error)(void *arg, uint32_t offset, const char *message);
    void *arg;
};

/* Start at the first character of a text of at most 4 GiB - 2; it is borrowed. */
void alloy_lexer_init(struct alloy_lexer *l, struct str text,
                      void (*error)(void *arg, uint32_t offset, const char *message),
                      void *arg);

/* The next token; ALLOY_T_EOF again and again at the end. */
struct alloy_token alloy_lexer_next(struct alloy_lexer *l);

/* How a kind is called in messages: "IDENT", "||". Static. */
const char *alloy_token_name(enum alloy_token_kind kind);

/* 1 (||) to 6 (^) for a binary operator, 0 for others. */
int alloy_token_precedence(enum alloy_token_kind kind);

/* True for a name: a letter or _, then letters, digits and _; Unicode's too. Not for keywords'
 * sake: true, false and null are names here, as in Alloy. */
bool alloy_is_identifier(struct str s);

/* The character at the start of s (at least one byte) and its bytes; -1 and 1 for a byte that
 * starts none. */
int32_t alloy_rune(struct str s, size_t *size);

/* Append a character as UTF-8; 1 to 4 bytes. Returns how many. */
size_t alloy_rune_put(int32_t rune, char out[4]);

/* False for control characters, blanks other than ' ', marks of direction and the like. */
bool alloy_is_printable(int32_t rune);

/* Categories of Unicode: L*, and Nd. */
bool alloy_is_letter(int32_t rune);
bool alloy_is_digit(int32_t rune);

#endif
