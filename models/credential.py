"""A credential: what a run shows to a daemon, or opens its tool's configuration with."""

from __future__ import annotations

from dataclasses import dataclass, field

SECRET_PREFIX = "LONGSHORE_SECRET_"  # noqa: S105 - the beginning of a variable's name
"""Of the environment's variables that hold passwords."""


@dataclass(frozen=True)
class Credential:
    """A user's name, where one is needed, and the password, which no `repr` shows."""

    user: str | None
    password: str = field(repr=False)
