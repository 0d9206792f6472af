/* tests/unit/alloy/diagnostics.h - texts that do not parse, and what Alloy's parser prints for
 * them, byte for byte. */
#ifndef TESTS_ALLOY_DIAGNOSTICS_H
#define TESTS_ALLOY_DIAGNOSTICS_H

/* clang-format off */
static const struct {
    const char *name, *text, *printed;
} diagnostics[] = {
    {"a missing comma in a list points at the newline",
     "a = [\n"
     "  1,\n"
     "  2\n"
     "]\n",
     "Error: f.alloy:3:4: missing ',' in expression list\n"
     "\n"
     "2 |   1,\n"
     "3 |   2\n"
     "  |    \n"
     "4 | ]\n"},
    {"a missing comma in an object points at the newline",
     "a = {\n"
     "  x = 1,\n"
     "  y = 2\n"
     "}\n",
     "Error: f.alloy:3:8: missing ',' in field list\n"
     "\n"
     "2 |   x = 1,\n"
     "3 |   y = 2\n"
     "  |        \n"
     "4 | }\n"},
    {"a number sign is no comment",
     "# comment\n"
     "a = 1\n",
     "Error: f.alloy:1:1: illegal character U+0023 '#'\n"
     "\n"
     "1 | # comment\n"
     "  | ^\n"
     "2 | a = 1\n"
     "\n"
     "Error: f.alloy:1:1: expected identifier, got ILLEGAL\n"
     "\n"
     "1 | # comment\n"
     "  | ^\n"
     "2 | a = 1\n"},
    {"a number sign behind a value",
     "a = 1 # one\n"
     "b = 2\n",
     "Error: f.alloy:1:7: illegal character U+0023 '#'\n"
     "\n"
     "1 | a = 1 # one\n"
     "  |       ^\n"
     "2 | b = 2\n"
     "\n"
     "Error: f.alloy:1:7: expected TERMINATOR, got ILLEGAL\n"
     "\n"
     "1 | a = 1 # one\n"
     "  |       ^\n"
     "2 | b = 2\n"},
    {"a duration without quotes is two words",
     "timeout = 15s\n",
     "Error: f.alloy:1:13: expected TERMINATOR, got IDENT\n"
     "\n"
     "1 | timeout = 15s\n"
     "  |             ^\n"
     "2 | \n"},
    {"hexadecimal is not read",
     "port = 0x10\n",
     "Error: f.alloy:1:9: expected TERMINATOR, got IDENT\n"
     "\n"
     "1 | port = 0x10\n"
     "  |         ^\n"
     "2 | \n"},
    {"two statements need two lines",
     "a = 1 b = 2\n",
     "Error: f.alloy:1:7: expected TERMINATOR, got IDENT\n"
     "\n"
     "1 | a = 1 b = 2\n"
     "  |       ^\n"
     "2 | \n"},
    {"a brace on the next line, with a label",
     "block \"x\"\n"
     "{\n"
     "}\n",
     "Error: f.alloy:1:10: expected block body, got TERMINATOR\n"
     "\n"
     "1 | block \"x\"\n"
     "  |          \n"
     "2 | {\n"},
    {"a brace on the next line, without a label",
     "block\n"
     "{\n"
     "}\n",
     "Error: f.alloy:1:6: expected block label, got TERMINATOR\n"
     "\n"
     "1 | block\n"
     "  |      \n"
     "2 | {\n"},
    {"a statement begins with a name",
     "= 1\n",
     "Error: f.alloy:1:1: expected identifier, got =\n"
     "\n"
     "1 | = 1\n"
     "  | ^\n"
     "2 | \n"},
    {"an attribute needs a value",
     "a = \n"
     "b = 2\n",
     "Error: f.alloy:2:3: expected TERMINATOR, got =\n"
     "\n"
     "1 | a = \n"
     "2 | b = 2\n"
     "  |   ^\n"
     "3 | \n"},
    {"a name alone",
     "a {\n"
     "  b \"\" 1\n"
     "}\n",
     "Error: f.alloy:2:8: expected attribute assignment or block body, got NUMBER\n"
     "\n"
     "1 | a {\n"
     "2 |   b \"\" 1\n"
     "  |        ^\n"
     "3 | }\n"
     "\n"
     "Error: f.alloy:4:1: expected TERMINATOR, got EOF\n"
     "\n"
     "3 | }\n"
     "4 | \n"
     "  | \n"},
    {"a label before an equal sign",
     "a \"x\" = 1\n",
     "Error: f.alloy:1:3: attribute names may not have labels\n"
     "\n"
     "1 | a \"x\" = 1\n"
     "  |   ^^^\n"
     "2 | \n"},
    {"a field needs a name",
     "a = { 1 = 2 }\n",
     "Error: f.alloy:1:7: expected field name (string or identifier), got NUMBER\n"
     "\n"
     "1 | a = { 1 = 2 }\n"
     "  |       ^\n"
     "2 | \n"},
    {"a label in backticks",
     "block `x` { }\n",
     "Error: f.alloy:1:7: expected block label to be a double quoted string, but got \"`x`\"\n"
     "\n"
     "1 | block `x` { }\n"
     "  |       ^\n"
     "2 | \n"},
    {"single quotes",
     "a = 'x'\n",
     "Error: f.alloy:1:5: illegal single-quoted string; use double quotes\n"
     "\n"
     "1 | a = 'x'\n"
     "  |     ^\n"
     "2 | \n"
     "\n"
     "Error: f.alloy:1:5: expected expression, got ILLEGAL\n"
     "\n"
     "1 | a = 'x'\n"
     "  |     ^\n"
     "2 | \n"},
    {"one bar",
     "a = true | false\n",
     "Error: f.alloy:1:11: missing second | in ||\n"
     "\n"
     "1 | a = true | false\n"
     "  |           ^\n"
     "2 | \n"},
    {"one ampersand",
     "a = true & false\n",
     "Error: f.alloy:1:11: missing second & in &&\n"
     "\n"
     "1 | a = true & false\n"
     "  |           ^\n"
     "2 | \n"},
    {"a block that is not closed",
     "block \"x\" {\n"
     "  a = 1\n",
     "Error: f.alloy:3:1: expected }, got EOF\n"
     "\n"
     "2 |   a = 1\n"
     "3 | \n"
     "  | \n"},
    {"a string that is not closed",
     "a = \"abc\n"
     "b = 1\n",
     "Error: f.alloy:1:5: string literal not terminated\n"
     "\n"
     "1 | a = \"abc\n"
     "  |     ^\n"
     "2 | b = 1\n"},
    {"a label without quotes",
     "block label { }\n",
     "Error: f.alloy:1:7: expected block label, got IDENT\n"
     "\n"
     "1 | block label { }\n"
     "  |       ^\n"
     "2 | \n"},
    {"a dash in a label",
     "block \"bad-label\" { }\n",
     "Error: f.alloy:1:7: expected block label to be a valid identifier, but got \"bad-label\"\n"
     "\n"
     "1 | block \"bad-label\" { }\n"
     "  |       ^\n"
     "2 | \n"},
    {"a dash in a name",
     "bad-name = 1\n",
     "Error: f.alloy:1:4: expected block label, got -\n"
     "\n"
     "1 | bad-name = 1\n"
     "  |    ^\n"
     "2 | \n"},
    {"dots in an attribute",
     "a.b = 1\n",
     "Error: f.alloy:1:1: attribute names may only consist of a single identifier with no \".\"\n"
     "\n"
     "1 | a.b = 1\n"
     "  | ^^^\n"
     "2 | \n"},
    {"a block as a value",
     "a = b {\n"
     "  c = 1\n"
     "}\n",
     "Error: f.alloy:1:5: cannot use a block as an expression\n"
     "\n"
     "1 |   a = b {\n"
     "  |  _____^^^\n"
     "2 | |   c = 1\n"
     "3 | | }\n"
     "  | |_^\n"
     "4 |   \n"},
    {"a labelled block as a value",
     "a = b \"c\" {\n"
     "}\n",
     "Error: f.alloy:1:5: cannot use a block as an expression\n"
     "\n"
     "1 |   a = b \"c\" {\n"
     "  |  _____^^^^^^^\n"
     "2 | | }\n"
     "  | |_^\n"
     "3 |   \n"},
    {"an escape that is none",
     "a = \"\\'\"\n",
     "Error: f.alloy:1:7: unknown escape sequence\n"
     "\n"
     "1 | a = \"\\'\"\n"
     "  |       ^\n"
     "2 | \n"},
    {"an escape cut short",
     "a = \"\\x4\"\n",
     "Error: f.alloy:1:7: illegal character U+0022 '\"' in escape sequence\n"
     "\n"
     "1 | a = \"\\x4\"\n"
     "  |       ^\n"
     "2 | \n"},
    {"a character that is none",
     "a = \"\\ud800\"\n",
     "Error: f.alloy:1:7: escape sequence is invalid Unicode code point\n"
     "\n"
     "1 | a = \"\\ud800\"\n"
     "  |       ^\n"
     "2 | \n"},
    {"an exponent without digits",
     "a = 1e\n",
     "Error: f.alloy:1:5: exponent has no digits\n"
     "\n"
     "1 | a = 1e\n"
     "  |     ^\n"
     "2 | \n"},
    {"a comment that is not closed",
     "a = 1\n"
     "/* x\n",
     "Error: f.alloy:2:1: block comment not terminated\n"
     "\n"
     "1 | a = 1\n"
     "2 | /* x\n"
     "  | ^\n"
     "3 | \n"},
    {"a parenthesis that is not closed",
     "a = (1 + 2\n"
     "b = 3\n",
     "Error: f.alloy:1:11: expected ), got TERMINATOR\n"
     "\n"
     "1 | a = (1 + 2\n"
     "  |           \n"
     "2 | b = 3\n"
     "\n"
     "Error: f.alloy:2:1: expected TERMINATOR, got IDENT\n"
     "\n"
     "1 | a = (1 + 2\n"
     "2 | b = 3\n"
     "  | ^\n"
     "3 | \n"},
    {"an index that is not closed",
     "a = b[1\n"
     "c = 3\n",
     "Error: f.alloy:1:8: expected ], got TERMINATOR\n"
     "\n"
     "1 | a = b[1\n"
     "  |        \n"
     "2 | c = 3\n"
     "\n"
     "Error: f.alloy:2:1: expected TERMINATOR, got IDENT\n"
     "\n"
     "1 | a = b[1\n"
     "2 | c = 3\n"
     "  | ^\n"
     "3 | \n"},
    {"a dot at the end",
     "a = b.\n"
     "c = 3\n",
     "Error: f.alloy:2:3: expected TERMINATOR, got =\n"
     "\n"
     "1 | a = b.\n"
     "2 | c = 3\n"
     "  |   ^\n"
     "3 | \n"},
    {"tabs count as four blanks",
     "block \"x\" {\n"
     "\tb\t= \t1 2\n"
     "}\n",
     "Error: f.alloy:2:9: expected TERMINATOR, got NUMBER\n"
     "\n"
     "1 | block \"x\" {\n"
     "2 |     b    =     1 2\n"
     "  |                  ^\n"
     "3 | }\n"},
    {"carriage returns are not shown",
     "block \"x\" {\r\n"
     "  b = \r\n"
     "}\r\n",
     "Error: f.alloy:3:1: expected expression, got }\n"
     "\n"
     "2 |   b = \n"
     "3 | }\n"
     "  | ^\n"
     "4 | \n"},
    {"wide characters count as bytes",
     "a = \"\303\251\303\251\" 1\n",
     "Error: f.alloy:1:12: expected TERMINATOR, got NUMBER\n"
     "\n"
     "1 | a = \"\303\251\303\251\" 1\n"
     "  |          ^\n"
     "2 | \n"},
    {"a byte order mark inside",
     "a = 1\n"
     "\357\273\277b = 2\n",
     "Error: f.alloy:2:1: illegal byte order mark\n"
     "\n"
     "1 | a = 1\n"
     "2 | \357\273\277b = 2\n"
     "  | ^\n"
     "3 | \n"
     "\n"
     "Error: f.alloy:2:1: expected identifier, got ILLEGAL\n"
     "\n"
     "1 | a = 1\n"
     "2 | \357\273\277b = 2\n"
     "  | ^\n"
     "3 | \n"},
    {"errors on several lines",
     "a = 1 2\n"
     "b = ]\n"
     "c = 3\n"
     "block x { }\n",
     "Error: f.alloy:1:7: expected TERMINATOR, got NUMBER\n"
     "\n"
     "1 | a = 1 2\n"
     "  |       ^\n"
     "2 | b = ]\n"
     "\n"
     "Error: f.alloy:2:5: expected expression, got ]\n"
     "\n"
     "1 | a = 1 2\n"
     "2 | b = ]\n"
     "  |     ^\n"
     "3 | c = 3\n"
     "\n"
     "Error: f.alloy:4:7: expected block label, got IDENT\n"
     "\n"
     "3 | c = 3\n"
     "4 | block x { }\n"
     "  |       ^\n"
     "5 | \n"},
    {"one parse error a line",
     "a = 1 2 3 4 = ]\n",
     "Error: f.alloy:1:7: expected TERMINATOR, got NUMBER\n"
     "\n"
     "1 | a = 1 2 3 4 = ]\n"
     "  |       ^\n"
     "2 | \n"},
    {"an operator at the start of a line",
     "a = 1\n"
     "  + 2\n",
     "Error: f.alloy:2:3: expected identifier, got +\n"
     "\n"
     "1 | a = 1\n"
     "2 |   + 2\n"
     "  |   ^\n"
     "3 | \n"},
    {"line numbers of two widths",
     "\n"
     "\n"
     "\n"
     "\n"
     "\n"
     "\n"
     "\n"
     "\n"
     "\n"
     "a = 1 2\n",
     "Error: f.alloy:10:7: expected TERMINATOR, got NUMBER\n"
     "\n"
     " 9 | \n"
     "10 | a = 1 2\n"
     "   |       ^\n"
     "11 | \n"},
};
/* clang-format on */

#endif
