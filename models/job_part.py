"""What the parts of a definition have in common. Pydantic: the runner does not load this."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """A frozen part of a definition, in which an unknown key is a fault."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


def quoted(text: str) -> str:
    """Return what a person wrote, for a message about it."""
    # A lone surrogate, which JSON can spell, has no bytes in UTF-8 and would break the message.
    return f"“{text[:80].encode('utf-8', 'backslashreplace').decode('utf-8')}”"
