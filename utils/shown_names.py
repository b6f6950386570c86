"""Names and texts for people: what a terminal or a page cannot show is escaped."""

from __future__ import annotations

import re

TURNING = frozenset(
    map(chr, (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)))
)
"""What turns the direction of a text (Unicode Standard Annex 9): a name could look like another."""
_UNSAFE = re.compile(rf"[\x00-\x1f\x7f-\x9f\ud800-\udfff{''.join(TURNING)}]")
"""Those and the general categories Cc and Cs. An expression, since a log of many megabytes goes
through it."""


def safe_text(text: str, *, keep: str = "") -> str:
    """Return a text that no terminal takes for more than a text: controls, what turns its direction
    and lone surrogates escaped, but for what is to be kept."""
    return _UNSAFE.sub(lambda found: found[0] if found[0] in keep else _escaped(found[0]), text)


def shown_name(raw: bytes) -> str:
    """Return a file name for people: bytes that are not UTF-8, and control characters, escaped."""
    text = raw.decode("utf-8", errors="backslashreplace")
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else _escaped(character) for character in text
    )


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
