"""One command for several jobs, runs or errors: each one's fault is told, the others go on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import typer

from fastapi_app.commands.client import Refusal
from fastapi_app.commands.console import EXIT_FAILED, print_json


@dataclass
class Several:
    """What came of a command for each id; `is_one` when a single one was asked for."""

    is_one: bool
    items: list[dict[str, Any]] = field(default_factory=list)
    errors: list[dict[str, str]] = field(default_factory=list)

    def print_json(self) -> None:
        """Print the API's JSON of one, or what came of each."""
        if not self.is_one:
            print_json({"items": self.items, "errors": self.errors})
        elif self.items:
            print_json(self.items[0])

    def exit_with_faults(self) -> None:
        """Exit when one of them failed."""
        if self.errors:
            raise typer.Exit(EXIT_FAILED)


def each_of(ids: Iterable[str], command: Callable[[str], Any]) -> Several:
    """Do a command for each id, once; tells what cannot be done with which one."""
    wanted = tuple(dict.fromkeys(ids))
    done = Several(is_one=len(wanted) == 1)
    for one in wanted:
        try:
            answer = command(one)
        except Refusal as refusal:
            refusal.tell("" if done.is_one else one)
            done.errors.append({"id": one, "detail": refusal.detail})
        else:
            done.items.append({"id": one, **(answer or {})} if not done.is_one else answer or {})
    return done
