"""Names and texts for people: what a terminal or a page cannot show is escaped."""

from __future__ import annotations

import unicodedata

_UNSHOWN = frozenset({"Cc", "Cs"})
TURNING = frozenset(
    map(chr, (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)))
)
"""What turns the direction of a text (Unicode Standard Annex 9): a name could look like another."""


def safe_text(text: str, *, keep: str = "") -> str:
    """Return a text that no terminal takes for more than a text: controls, what turns its direction
    and lone surrogates escaped, but for what is to be kept."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        one.encode("unicode_escape").decode("ascii")
        if (unicodedata.category(one) in _UNSHOWN or one in TURNING) and one not in keep
        else one
        for one in text
    )


def shown_name(raw: bytes) -> str:
    """Return a file name for people: bytes that are not UTF-8, and control characters, escaped."""
    text = raw.decode("utf-8", errors="backslashreplace")
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )
