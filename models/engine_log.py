"""The log of a run on disk: how the runner lays it out, and how the dashboard finds its way in it.

`engine.log` holds the tool's output up to the head's bound. What comes after goes around in
`engine.log.tail`: a first line of a fixed width, then a ring that is written over in place, which
costs a third of what it costs to truncate a file again and again. At the end the ring's lines are
put behind the head, the cut between them said, and of the other file its first line alone is left:
it tells where the places of the tool's output are to be found.

A place is a number of bytes since the output began, kept or not. Standard library only.
"""

from __future__ import annotations

import json
from typing import NamedTuple

FORMAT = 1
LOG_NAME = "engine.log"
TAIL_NAME = "engine.log.tail"
TAIL_LINE_WIDTH = 160
LONGEST_PART = 64 * 1024
"""How far the beginning of a line is looked for where the ring begins within one."""
_RESERVE = 4096
"""For the first line of the tail, the notice of the cut, and last words of the runner's own."""


class TailFacts(NamedTuple):
    """The first line of the tail's file. Sizes in bytes; places of the ring count from the head's
    end."""

    head: int
    """How much of engine.log comes before the cut."""
    capacity: int
    begun: int
    """Up to here the ring may have been written: what lies a whole ring before is gone."""
    done: int
    """Up to here it has been written."""
    lost: int = 0
    """What a full disk did not take, besides."""
    kept: int | None = None
    """How much of the ring stands behind the head; None while it lives by itself."""

    @property
    def first(self) -> int:
        """The oldest place that is still there."""
        if self.kept is not None:
            return self.done - self.kept
        return min(max(0, self.begun - self.capacity), self.done)


def bounds(max_bytes: int) -> tuple[int, int]:
    """Return the head's bound and the ring's capacity, so that no more than `max_bytes` are ever on
    disk: also while the ring is put behind the head, when both are there."""
    head = max_bytes * 2 // 5
    return head, max(1, (max_bytes - head - _RESERVE) // 2)


def notice_of_cut(dropped: int) -> bytes:
    """Return what stands between head and tail; nothing when nothing is missing there."""
    text = f"\n… {dropped} bytes of output were not kept here …\n\n" if dropped else ""
    return text.encode("utf-8")


def beginning_of_line(content: bytes) -> int:
    """Return where the first whole line begins in what was cut out of the output; 0 when none does:
    a part of a line is better than nothing."""
    return content.find(b"\n", 0, LONGEST_PART) + 1


def tail_line(facts: TailFacts) -> bytes:
    """Return the first line of the tail's file."""
    # By hand: it is written twice for each piece of output, and json.dumps takes five times as
    # long.
    kept = b"null" if facts.kept is None else b"%d" % facts.kept
    line = b'{"format":%d,"head":%d,"capacity":%d,"begun":%d,"done":%d,"lost":%d,"kept":%s}' % (
        FORMAT,
        facts.head,
        facts.capacity,
        facts.begun,
        facts.done,
        facts.lost,
        kept,
    )
    return line.ljust(TAIL_LINE_WIDTH - 1) + b"\n"


def tail_facts(line: bytes) -> TailFacts | None:
    """Read that line; None when it is not there yet or cannot be read."""
    try:
        document = json.loads(line)
        values = {name: document[name] for name in TailFacts._fields}
    except (ValueError, TypeError, KeyError):
        return None
    kept = 0 if values["kept"] is None else values["kept"]
    numbers = [kept, *(value for name, value in values.items() if name != "kept")]
    if not all(isinstance(value, int) and value >= 0 for value in numbers):
        return None
    facts = TailFacts(**values)
    is_sound = facts.capacity > 0 and kept <= facts.done <= facts.begun
    return facts if is_sound else None
