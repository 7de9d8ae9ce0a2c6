# SPDX-License-Identifier: Apache-2.0
"""Kconfig fragments: read them, merge them, configure a kernel with them, and check that what was asked for is there."""

import io
import os
import re
import sys
from pathlib import Path

from .base import CONFIG, GUEST, GuestError, run

SET = re.compile(r'CONFIG_([A-Z0-9_a-z]+)=(y|-?\d+|0x[0-9a-fA-F]+|"(?:[^"\\]|\\.)*")')
UNSET = re.compile(r"# CONFIG_([A-Z0-9_a-z]+) is not set")


class Lost(GuestError):
    """Symbols that did not survive the kernel's own dependencies."""

    def __init__(self, text, symbols):
        super().__init__(text, CONFIG)
        self.symbols = set(symbols)


def fragment_path(name):
    """A fragment by name (guest/fragments/NAME.config) or by path."""
    path = Path(name) if "/" in name or name.endswith(".config") else GUEST / "fragments" / f"{name}.config"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in (GUEST / "fragments").glob("*.config")))
        raise GuestError(f"fragment {name}: {path} does not exist (there are: {known})", CONFIG)
    return path


def read_fragment(path):
    """{symbol: (value, "file:line")} of one fragment; value "n" for `is not set`."""
    symbols = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        line, where = line.strip(), f"{path.name}:{number}"
        if found := SET.fullmatch(line):
            symbol, value = found[1], found[2]
        elif found := UNSET.fullmatch(line):
            symbol, value = found[1], "n"
        elif not line or (line.startswith("#") and not line.startswith("# CONFIG_")):
            continue
        else:
            raise GuestError(f"{where}: not `CONFIG_X=value`, `# CONFIG_X is not set` or a comment: {line}", CONFIG)
        if symbol in symbols:
            raise GuestError(f"{where}: CONFIG_{symbol} is already given at {symbols[symbol][1]}", CONFIG)
        symbols[symbol] = (value, where)
    return symbols


def merge(names):
    """The symbols of several fragments; a later one overrides an earlier one."""
    merged = {}
    for name in names:
        merged.update(read_fragment(fragment_path(name)))
    return merged


def text(symbols):
    return "".join(f"# CONFIG_{s} is not set\n" if v == "n" else f"CONFIG_{s}={v}\n" for s, (v, _) in sorted(symbols.items()))


def rewrite(path, symbols):
    """The fragment with only SYMBOLS; a comment stays while an option below it does."""
    def option(line):
        return SET.fullmatch(line.strip()) or UNSET.fullmatch(line.strip())

    title, *lines = path.read_text().splitlines()
    blocks = [[]]
    for line in lines:
        if not option(line) and blocks[-1] and option(blocks[-1][-1]):
            blocks.append([])
        blocks[-1].append(line)
    kept = [title]
    for block in blocks:
        options = [line for line in block if option(line)]
        needed = [line for line in options if option(line)[1] in symbols]
        if needed or not options:
            kept += [line for line in block if line not in options or line in needed]
    path.write_text("".join(f"{line}\n" for line in kept))


def read_config(path):
    """{symbol: value} of a .config; what is not set is not in it."""
    return dict(line[7:].split("=", 1) for line in path.read_text().splitlines() if line.startswith("CONFIG_"))


def configure(tree, build, symbols, make):
    """Writes BUILD/.config: allnoconfig with SYMBOLS asked for. Everything that did not survive is named."""
    asked = build / "asked.config"
    asked.write_text(text(symbols))
    run([*make, f"KCONFIG_ALLCONFIG={asked}", "allnoconfig"], "configure the kernel", CONFIG, cwd=tree)
    got = read_config(build / ".config")
    lost = [s for s, (value, _) in sorted(symbols.items()) if got.get(s, "n") != value]
    if lost:
        reasons = explain(tree, build, {s: symbols[s][0] for s in lost})
        raise Lost("; ".join(f"{symbols[s][1]}: CONFIG_{s}={symbols[s][0]} did not survive: {reasons[s]}" for s in lost), lost)
    return got


def explain(tree, build, lost):
    """{symbol: why it does not have the value asked for}, by the kernel's own Kconfig."""
    # Debian's module, whichever Python runs us.
    sys.path.append("/usr/lib/python3/dist-packages")
    try:
        import kconfiglib
    except ImportError:
        return dict.fromkeys(lost, "(install python3-kconfiglib to see the unmet dependency)")

    class Kconfig(kconfiglib.Kconfig):
        # kconfiglib 14 predates Linux 5.14's `modules` keyword; the older spelling means the same.
        def _open(self, filename, mode):
            stream = super()._open(filename, mode)
            if "Kconfig" not in os.path.basename(filename):
                return stream
            with stream:
                return io.StringIO(stream.read().replace("\n\tmodules\n", "\n\toption modules\n"))

    os.environ.update(srctree=str(tree), ARCH="x86", SRCARCH="x86", CC="gcc", LD="ld", HOSTCC="gcc", HOSTCXX="g++", NM="nm",
                      OBJCOPY="objcopy", AR="ar", RUSTC="rustc", BINDGEN="bindgen", PAHOLE="pahole", KERNELVERSION="",
                      CC_VERSION_TEXT="")
    here = os.getcwd()
    os.chdir(tree)
    try:
        config = Kconfig("Kconfig", warn=False)
        config.load_config(str(build / ".config"))
    finally:
        os.chdir(here)

    def unmet(expression):
        parts = kconfiglib.split_expr(expression, kconfiglib.AND)
        return [kconfiglib.expr_str(part) for part in parts if not kconfiglib.expr_value(part)]

    def reason(symbol, value):
        item = config.syms.get(symbol)
        if item is None or not item.nodes:
            return "there is no such symbol in this kernel"
        if missing := unmet(item.direct_dep):
            return f"it depends on {' && '.join(missing)}, which is not set"
        prompts = [node.prompt[1] for node in item.nodes if node.prompt]
        if not prompts:
            return "it has no prompt: other options decide it"
        if missing := [part for prompt in prompts for part in unmet(prompt)]:
            return f"it can only be chosen with {' && '.join(missing)}"
        if value == "n" and kconfiglib.expr_value(item.rev_dep):
            selecting = [kconfiglib.expr_str(part) for part in kconfiglib.split_expr(item.rev_dep, kconfiglib.OR)
                         if kconfiglib.expr_value(part)]
            return f"it is selected by {', '.join(selecting)}"
        if item.choice:
            return f"another option of its choice was taken ({item.choice.selection.name if item.choice.selection else 'none'})"
        return f"it became {item.str_value}"

    return {symbol: reason(symbol, value) for symbol, value in lost.items()}
