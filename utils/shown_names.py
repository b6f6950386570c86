"""File names for people: what a terminal or a page cannot show is escaped."""

from __future__ import annotations


def shown_name(raw: bytes) -> str:
    """Return a file name for people: bytes that are not UTF-8, and control characters, escaped."""
    text = raw.decode("utf-8", errors="backslashreplace")
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )
