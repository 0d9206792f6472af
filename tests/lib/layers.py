"""The linker keeps the layers: an upward call must not link, a downward one must.

Links a small program against base alone, once with a call into base and once with a call into the
topmost module; then looks in every archive for a call to a module above it.
"""

import os
import subprocess
import sys
import tempfile

def links(build, archives, symbol):
    with tempfile.TemporaryDirectory() as tmp:
        source = os.path.join(tmp, "x.c")
        with open(source, "w", encoding="ascii") as f:
            f.write(f"int {symbol}(void);\nint main(void) {{ return {symbol}(); }}\n")
        libs = [os.path.join(build, "lib", f"lib{a}.a") for a in archives]
        p = subprocess.run(["cc", "-o", os.path.join(tmp, "x"), source] + libs, capture_output=True,
                           check=False)
        return p.returncode == 0


def symbols(archive):
    out = subprocess.run(["nm", "--defined-only", "-g", archive], capture_output=True, text=True, check=False).stdout
    return [line.split()[-1] for line in out.splitlines() if " T " in line]


def undefined(archive):
    out = subprocess.run(["nm", "-u", archive], capture_output=True, text=True, check=False).stdout
    return {line.split()[-1] for line in out.splitlines() if line.strip().startswith("U ")}


def main():
    build = sys.argv[1] if len(sys.argv) > 1 else "build/plain"
    order = "base conf metrics wire alloy proto profile net disco gossip ring rpc store app".split()
    libs = [(m, os.path.join(build, "lib", f"lib{m}.a")) for m in order]
    libs = [(m, a) for m, a in libs if os.path.exists(a)]
    passed = failed = 0
    # 1. the proof by linker: base's archive alone satisfies a call to base, not one to a module above
    top = libs[-1]
    above = symbols(top[1])[0] if len(libs) > 1 and symbols(top[1]) else "module_above"
    for symbol, want in (("err_set", True), (above, False)):
        if links(build, ["base"], symbol) == want:
            passed += 1
        else:
            failed += 1
            print(f"layers: a call to {symbol} against base alone {'does not link' if want else 'links'}")
    # 2. every archive: no undefined symbol that only a module to its right defines
    defined = {m: set(symbols(a)) for m, a in libs}
    for i, (m, a) in enumerate(libs):
        bad = [(s, n) for n, _ in libs[i + 1:] for s in sorted(undefined(a) & defined[n])]
        if bad:
            failed += 1
            for s, n in bad[:5]:
                print(f"layers: {m} calls {s} of {n}, a module above it")
        else:
            passed += 1
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
