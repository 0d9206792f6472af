/* tests/unit/alloy/layouts.h - texts and how `alloy fmt` prints them, byte for byte. */
#ifndef TESTS_ALLOY_LAYOUTS_H
#define TESTS_ALLOY_LAYOUTS_H

/* clang-format off */
static const struct {
    const char *name, *text, *laid_out;
} layouts[] = {
    {"attributes align in runs",
     "a=1\n"
     "bbb   =  2\n"
     "\n"
     "ccccc=3\n"
     "d=4\n",
     "a   = 1\n"
     "bbb = 2\n"
     "\n"
     "ccccc = 3\n"
     "d     = 4\n"},
    {"blocks are parted by a blank line",
     "x \"l\"{a=1}\n"
     "y{}\n"
     "z {\n"
     "}\n"
     "a=1\n",
     "x \"l\" {\n"
     "\ta = 1\n"
     "}\n"
     "\n"
     "y { }\n"
     "\n"
     "z { }\n"
     "a = 1\n"},
    {"at most one blank line stays",
     "a=1\n"
     "\n"
     "\n"
     "\n"
     "\n"
     "b=2\n",
     "a = 1\n"
     "\n"
     "b = 2\n"},
    {"nested blocks indent",
     "x \"l\" {\n"
     "a=1\n"
     "y {\n"
     "bb=2\n"
     "c=3\n"
     "z { d=4 }\n"
     "}\n"
     "e=5\n"
     "}\n",
     "x \"l\" {\n"
     "\ta = 1\n"
     "\n"
     "\ty {\n"
     "\t\tbb = 2\n"
     "\t\tc  = 3\n"
     "\n"
     "\t\tz {\n"
     "\t\t\td = 4\n"
     "\t\t}\n"
     "\t}\n"
     "\te = 5\n"
     "}\n"},
    {"lists on one line and on several",
     "a=[1,2,3,]\n"
     "b=[\n"
     "1,\n"
     "2,\n"
     "3,\n"
     "]\n"
     "c=[1,\n"
     "2,\n"
     "]\n"
     "d=[]\n"
     "e=[\n"
     "]\n",
     "a = [1, 2, 3]\n"
     "b = [\n"
     "\t1,\n"
     "\t2,\n"
     "\t3,\n"
     "]\n"
     "c = [1,\n"
     "\t2,\n"
     "]\n"
     "d = []\n"
     "e = []\n"},
    {"objects align their fields",
     "a={x=1,\"y z\"=2}\n"
     "b={\n"
     "x=1,\n"
     "long_name=2,\n"
     "\"q\"=[\n"
     "1,\n"
     "],\n"
     "zz=3,\n"
     "}\n"
     "c={}\n",
     "a = {x = 1, \"y z\" = 2}\n"
     "b = {\n"
     "\tx         = 1,\n"
     "\tlong_name = 2,\n"
     "\t\"q\"       = [\n"
     "\t\t1,\n"
     "\t],\n"
     "\tzz = 3,\n"
     "}\n"
     "c = {}\n"},
    {"calls",
     "a=f(1,2)\n"
     "b=f(\n"
     "1,\n"
     "2,\n"
     ")\n"
     "c=f(1,\n"
     "2)\n"
     "d=f()\n",
     "a = f(1, 2)\n"
     "b = f(\n"
     "\t1,\n"
     "\t2,\n"
     ")\n"
     "c = f(1,\n"
     "\t2)\n"
     "d = f()\n"},
    {"operators",
     "a=1+2*3\n"
     "b=-x\n"
     "c=!y&&z||w\n"
     "d=(1+2)\n"
     "e=a.b.c[0][\"x\"](1)\n"
     "f=1 .x\n",
     "a = 1 + 2 * 3\n"
     "b = -x\n"
     "c = !y && z || w\n"
     "d = (1 + 2)\n"
     "e = a.b.c[0][\"x\"](1)\n"
     "f = 1 .x\n"},
    {"comments at line ends align",
     "a=1 // one\n"
     "bbb=2 // two\n"
     "\n"
     "c=3 // three\n",
     "a   = 1 // one\n"
     "bbb = 2 // two\n"
     "\n"
     "c = 3 // three\n"},
    {"comments between",
     "// head\n"
     "\n"
     "// head 2\n"
     "a=1\n"
     "// mid\n"
     "b=2\n"
     "\n"
     "/* block */\n"
     "x {\n"
     "// first\n"
     "a=1\n"
     "\n"
     "// last\n"
     "}\n"
     "// tail\n",
     "// head\n"
     "\n"
     "// head 2\n"
     "a = 1\n"
     "// mid\n"
     "b = 2\n"
     "\n"
     "/* block */\n"
     "x {\n"
     "\t// first\n"
     "\ta = 1\n"
     "\n"
     "\t// last\n"
     "}\n"
     "// tail\n"},
    {"block comments inside a line",
     "a = /* v */ 1\n"
     "b /* n */ = 2\n"
     "c = [ /* e */ 1, /* f */ 2 ]\n",
     "a = /* v */ 1\n"
     "b = /* n */ 2\n"
     "c = [ /* e */ 1, /* f */ 2]\n"},
    {"comments in lists and objects",
     "a=[\n"
     "// one\n"
     "1, // first\n"
     "// two\n"
     "2,\n"
     "// end\n"
     "]\n"
     "b={\n"
     "// k\n"
     "x=1, // v\n"
     "// end\n"
     "}\n",
     "a = [\n"
     "\t// one\n"
     "\t1, // first\n"
     "\t// two\n"
     "\t2,\n"
     "\t// end\n"
     "]\n"
     "b = {\n"
     "\t// k\n"
     "\tx = 1, // v\n"
     "\t// end\n"
     "}\n"},
    {"an empty block with a comment",
     "x {\n"
     "// nothing\n"
     "}\n"
     "y { // same line\n"
     "}\n"
     "z {\n"
     "a = 1 // q\n"
     "}\n",
     "x {\n"
     "\t// nothing\n"
     "}\n"
     "\n"
     "y { // same line\n"
     "}\n"
     "\n"
     "z {\n"
     "\ta = 1 // q\n"
     "}\n"},
    {"raw strings",
     "a=`x`\n"
     "b=`one\n"
     "two`\n"
     "c=1\n",
     "a = `x`\n"
     "b = `one\n"
     "two`\n"
     "c = 1\n"},
    {"a relabel configuration",
     "pyroscope.relabel \"r\" {\n"
     "forward_to=[pyroscope.write.w.receiver]\n"
     "  rule {\n"
     "    source_labels=[\"__meta_a\",\n"
     "\"b\"]\n"
     "    action=\"labelmap\"\n"
     "  }\n"
     "\n"
     "\n"
     "  rule { action = \"drop\" }\n"
     "}\n",
     "pyroscope.relabel \"r\" {\n"
     "\tforward_to = [pyroscope.write.w.receiver]\n"
     "\n"
     "\trule {\n"
     "\t\tsource_labels = [\"__meta_a\",\n"
     "\t\t\t\"b\"]\n"
     "\t\taction = \"labelmap\"\n"
     "\t}\n"
     "\n"
     "\trule {\n"
     "\t\taction = \"drop\"\n"
     "\t}\n"
     "}\n"},
    {"windows line ends",
     "a = 1\r\n"
     "// c\r\n"
     "bb = 2 // d\r\n"
     "\r\n"
     "x {\r\n"
     "}\r\n",
     "a = 1\n"
     "// c\n"
     "bb = 2 // d\n"
     "\n"
     "x { }\n"},
    {"only comments",
     "// a\n"
     "/* b */\n",
     "// a\n"
     "/* b */\n"},
    {"nothing",
     "",
     "\n"},
    {"several comments in a row",
     "a = 1 /* x */ /* y */ // z\n"
     "// k\n"
     "b = 2\n",
     "a = 1 /* x */ /* y */ // z\n"
     "// k\n"
     "b = 2\n"},
    {"multi-line comments",
     "/* one\n"
     "   two */\n"
     "a = 1\n"
     "x {\n"
     "  /* in\n"
     "     side */\n"
     "  b = 2\n"
     "}\n",
     "/* one\n"
     "   two */\n"
     "a = 1\n"
     "\n"
     "x {\n"
     "\t/* in\n"
     "     side */\n"
     "\tb = 2\n"
     "}\n"},
    {"labels and dotted names",
     "a.b.c \"l\"   {}\n"
     "a . b {\n"
     "}\n",
     "a.b.c \"l\" { }\n"
     "\n"
     "a.b { }\n"},
    {"long one-line objects in a list",
     "t=[{a=\"1\",b=\"2\"},{a=\"3\",b=\"4\"}]\n"
     "u=[\n"
     "{a=\"1\",bb=\"2\"},\n"
     "{aaa=\"3\",b=\"4\"},\n"
     "]\n",
     "t = [{a = \"1\", b = \"2\"}, {a = \"3\", b = \"4\"}]\n"
     "u = [\n"
     "\t{a = \"1\", bb = \"2\"},\n"
     "\t{aaa = \"3\", b = \"4\"},\n"
     "]\n"},
    {"concatenation over lines",
     "a = \"x\" +\n"
     "\"y\" +\n"
     "  \"z\"\n",
     "a = \"x\" + \"y\" + \"z\"\n"},
    {"logging",
     "logging{\n"
     "level=\"info\"\n"
     "format=\"logfmt\"}\n",
     "logging {\n"
     "\tlevel  = \"info\"\n"
     "\tformat = \"logfmt\"\n"
     "}\n"},
};
/* clang-format on */

#endif
