# SPDX-License-Identifier: Apache-2.0
"""Reads QEMU's `-d exec,nochain,in_asm,op` log of a whole machine into call trees.

Every executed translation block is a line with its address and CPU state; in_asm shows a block's
instructions once, before its first execution. The last instruction tells calls from returns, so the
caller of everything is known without frame pointers; the CPU state tells guest from host
(HF_GUEST) and user from kernel (HF_CPL). QEMU cannot show a nested guest's instructions: of those
`op` gives the addresses, and the kernel's file the bytes of the last."""

import re

HF_CPL, HF_GUEST = 3, 1 << 21  # QEMU's target/i386/cpu.h
TRACE = re.compile(rb"Trace \d+: (\S+) \[[0-9a-f]+/([0-9a-f]+)/([0-9a-f]+)/")
INSTRUCTION = re.compile(rb"0x([0-9a-f]+):\s+((?:[0-9a-f]{2} )+)\s*(\S*)")
GUEST, KERNEL, USER = "guest", "kernel", "user"
PLAIN, CALL, RETURN = 0, 1, 2


class Block:
    """A translation block: how many instructions, how it ends, and where a call would return."""
    __slots__ = ("pc", "count", "kind", "following", "domain")

    def __init__(self, pc, count, kind, following):
        self.pc, self.count, self.kind, self.following = pc, count, kind, following
        self.domain = None


class Node:
    """A function in the context of its callers; @ret: where its return goes."""
    __slots__ = ("parent", "ret", "pc", "children", "blocks")

    def __init__(self, parent, ret, pc):
        self.parent, self.ret, self.pc = parent, ret, pc
        self.children, self.blocks = {}, {}

    def child(self, ret, pc):
        node = self.children.get((ret, pc))
        if node is None:
            node = self.children[(ret, pc)] = Node(self, ret, pc)
        return node


def block_of(lines):
    """Of the lines of one "IN:" paragraph."""
    count, pc, following, mnemonic = 0, None, 0, b""
    for line in lines:
        found = INSTRUCTION.match(line)
        if not found:
            continue
        address = int(found[1], 16)
        if not found[3]:  # bytes that go on from the line before
            following = address + len(found[2]) // 3
            continue
        pc = address if pc is None else pc
        count += 1
        following, mnemonic = address + len(found[2]) // 3, found[3]
    if pc is None:
        return None
    kind = (CALL if mnemonic.startswith((b"call", b"lcall")) else
            RETURN if mnemonic.startswith((b"ret", b"lret")) else PLAIN)
    return Block(pc, count, kind, following)


def start_of(line):
    """The offset within its page in " ---- 0000000000000123 0000000000000000": where an instruction
    begins in `op`. A block lies in the page it begins in."""
    return int(line.split(None, 2)[1], 16)


def kind_of(code):
    """(kind, length) of the x86-64 instruction @code begins with; the length of calls only."""
    prefixes = 0
    while code[prefixes : prefixes + 1] in (b"\x2e", b"\x3e", b"\xf2", b"\xf3", b"\x66") or \
            b"\x40" <= code[prefixes : prefixes + 1] <= b"\x4f":
        prefixes += 1
    opcode = code[prefixes : prefixes + 3] + bytes(3)
    if opcode[0] == 0xE8:
        return CALL, prefixes + 5
    if opcode[0] in (0xC2, 0xC3, 0xCA, 0xCB):
        return RETURN, 0
    mode, operation, register = opcode[1] >> 6, opcode[1] >> 3 & 7, opcode[1] & 7
    if opcode[0] != 0xFF or operation not in (2, 3):
        return PLAIN, 0
    length = prefixes + 2 + {0: 0, 1: 1, 2: 4, 3: 0}[mode]
    if mode != 3 and register == 4:
        length += 1 + (4 if mode == 0 and opcode[2] & 7 == 5 else 0)
    elif mode == 0 and register == 5:
        length += 4
    return CALL, length


UNREADABLE = re.compile(rb"0x([0-9a-f]+): unable to read")


def block_at(line, starts, code_at):
    """Of what in_asm says when it cannot read, the offsets `op` shows, and the code of a file."""
    found = UNREADABLE.match(line)
    if not found or not starts:
        return None
    pc = int(found[1], 16)
    final = pc & ~0xFFF | starts[-1] & 0xFFF
    kind, length = kind_of(code_at(final))
    return Block(pc, len(starts), kind, final + length)


class Machine:
    """Follows the machine block by block. @ignore(pc): user code that is not what is measured; what
    came before its last block does not count. Stops following at the guest's first user code."""

    def __init__(self, ignore):
        self.ignore = ignore
        self.reset()
        self.started = self.ended = False
        self.guest_high = False  # the guest's kernel has reached its own addresses

    def reset(self):
        self.roots = {(phase, d): Node(None, None, None) for phase in (0, 1)
                      for d in (GUEST, KERNEL, USER)}
        self.totals = dict.fromkeys(self.roots, 0)
        self.phase = 0  # 1: the guest has run
        self.at = {d: self.roots[0, d] for d in (GUEST, KERNEL, USER)}
        self.previous = self.before = None
        self.last = dict.fromkeys((GUEST, KERNEL, USER))  # each goes on where it was left
        self.milestones = {}  # pc of guest functions entered: guest instructions until then
        self.guest_count = 0

    def domain(self, flags):
        return GUEST if flags & HF_GUEST else USER if flags & HF_CPL == 3 else KERNEL

    def begin_phase_1(self):
        self.phase = 1
        self.at = {d: self.roots[1, d] for d in (GUEST, KERNEL, USER)}

    def execute(self, block):
        domain, pc = block.domain, block.pc
        if domain == USER and not self.started:
            if self.ignore(pc):
                self.reset()
                return
            self.started = True
        elif domain == GUEST:
            if not self.phase:
                self.begin_phase_1()
            if pc >> 63:
                self.guest_high = True
            elif self.guest_high:
                self.ended = True
                return
        last, node = self.last[domain], self.at[domain]
        self.before = last, node, self.previous
        if domain == KERNEL and self.previous is not None and self.previous.domain == USER:
            # An entry from user mode begins with an empty stack.
            node = self.at[domain] = self.roots[self.phase, KERNEL].child(None, pc)
        elif last is not None:
            if last.kind == CALL and pc != last.following:
                node = node.child(last.following, pc)
                if domain == GUEST and pc not in self.milestones:
                    self.milestones[pc] = self.guest_count
            elif last.kind == RETURN:
                up = node
                while up is not None and up.ret != pc:
                    up = up.parent
                if up is not None:
                    node = up.parent
            self.at[domain] = node
        node.blocks[block] = node.blocks.get(block, 0) + 1
        self.totals[self.phase, domain] += block.count
        if domain == GUEST:
            self.guest_count += block.count
        self.previous = self.last[domain] = block

    def undo(self):
        """The block announced last was not executed: the clock's budget did not reach."""
        block = self.previous
        if block is None:
            return
        node = self.at[block.domain]
        if node.blocks.get(block, 0):
            node.blocks[block] -= 1
            self.totals[self.phase, block.domain] -= block.count
            self.guest_count -= block.count if block.domain == GUEST else 0
            self.last[block.domain], self.at[block.domain], self.previous = self.before


def read(stream, machine, code_at):
    """All of a log, to its end even when the machine has been followed far enough: its writer waits
    for a reader. @code_at(address): bytes of the guest's kernel."""
    blocks, fresh, lines, starts = {}, {}, [], []
    execute, match = machine.execute, TRACE.match

    def translated():
        block = block_of(lines) or (block_at(lines[0], starts, code_at) if lines else None)
        if block:
            fresh[block.pc] = block
        lines.clear()
        starts.clear()

    for line in stream:
        if machine.ended:
            continue
        if line.startswith(b"Trace"):
            if starts or lines:
                translated()
            found = match(line)
            if not found:
                continue
            if fresh:
                new = fresh.pop(int(found[2], 16), None)
                if new:
                    new.domain = machine.domain(int(found[3], 16))
                    blocks[found[1]] = new
            block = blocks.get(found[1])
            if block:
                execute(block)
        elif line.startswith(b" ---- "):
            starts.append(start_of(line))
        elif line.startswith(b"IN:"):
            if starts or lines:
                translated()
        elif line.startswith(b"0x"):
            lines.append(line)
        elif line.startswith(b"Stopped"):
            machine.undo()
