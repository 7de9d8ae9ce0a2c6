# SPDX-License-Identifier: Apache-2.0
"""Flame graphs as SVG that needs no script: hover shows a frame's figures."""

import hashlib
from xml.sax.saxutils import escape

WIDTH, ROW, LETTER = 1400, 16, 6.6
MIN_WIDTH = 0.4  # pixels; narrower frames are left out
WARM, COOL = (20, 45), (195, 225)  # hues


class Frame:
    def __init__(self, name):
        self.name, self.own, self.total, self.children = name, 0, 0, {}

    def child(self, name):
        frame = self.children.get(name)
        if frame is None:
            frame = self.children[name] = Frame(name)
        return frame


def add_tree(frame, node, name_of, count_of):
    """Adds @node and what is below it. Code reached by a jump (a tail call, an exception) is a frame
    of its own name below the function it was reached from. Returns the total."""
    total = 0
    for block, times in node.blocks.items():
        count = count_of(block) * times
        name = name_of(block.pc)
        target = frame if name == frame.name else frame.child(name)
        target.own += count
        if target is not frame:
            target.total += count
        total += count
    for child in node.children.values():
        below = frame.child(name_of(child.pc))
        total += add_tree(below, child, name_of, count_of)
    frame.total += total
    return total


def depth_of(frame, least):
    return 1 + max((depth_of(c, least) for c in frame.children.values() if c.total >= least),
                   default=0)


def colour(name, hues):
    digest = hashlib.md5(name.encode()).digest()
    hue = hues[0] + digest[0] * (hues[1] - hues[0]) // 255
    return f"hsl({hue},{60 + digest[1] % 30}%,{60 + digest[2] % 15}%)"


def draw(frame, x, level, scale, height, hues, whole, out):
    width = frame.total * scale
    if width < MIN_WIDTH:
        return
    y = height - (level + 1) * ROW
    text = frame.name[: int(width / LETTER)] if width > 3 * LETTER else ""
    share = frame.total / whole if whole else 0
    out.append(f'<g><title>{escape(frame.name)}: {frame.total:,} ({share:.2%}), own {frame.own:,}'
               f'</title><rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{ROW - 1}" '
               f'fill="{colour(frame.name, hues)}"/>'
               + (f'<text x="{x + 2:.1f}" y="{y + ROW - 4}">{escape(text)}</text>' if text else "")
               + "</g>")
    for child in sorted(frame.children.values(), key=lambda c: c.name):
        draw(child, x, level + 1, scale, height, hues, whole, out)
        x += child.total * scale


def svg(frame, title, hues=WARM):
    """@frame's total must be set. Callers are below, as in a fire."""
    scale = (WIDTH - 20) / max(frame.total, 1)
    height = (depth_of(frame, MIN_WIDTH / scale) + 1) * ROW + 30
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
           'font-family="monospace" font-size="11">',
           f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
           f'<text x="10" y="18" font-size="13">{escape(title)}</text>']
    draw(frame, 10, 0, scale, height - 6, hues, frame.total, out)
    return "\n".join([*out, "</svg>", ""])


def by_name(frame, found=None):
    """{name: own count} over the whole graph."""
    found = {} if found is None else found
    found[frame.name] = found.get(frame.name, 0) + frame.own
    for child in frame.children.values():
        by_name(child, found)
    return found


def below(frame, name, found=None):
    """{callee: total} of everything called directly by functions of that name."""
    found = {} if found is None else found
    for child in frame.children.values():
        if frame.name == name:
            found[child.name] = found.get(child.name, 0) + child.total
        below(child, name, found)
    return found
