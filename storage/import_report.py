"""What an import has to tell: each line of a file that it could not take, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from storage.yaml_documents import Place
from utils.shown_names import safe_text

_MAX_STEP_CHARACTERS = 80
_MAX_MESSAGE_CHARACTERS = 600


@dataclass(frozen=True)
class Remark:
    """One thing to tell about a place in a file; `line` counts from 1."""

    line: int | None
    place: str
    message: str
    is_fault: bool
    """Whether something was not taken that a person may miss; else it is good to know."""

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line else ""
        return printable(f"{where}{self.place}: {self.message}")


@dataclass
class Report:
    """Collects remarks; knows the lines of the file."""

    lines: Mapping[Place, int]
    _remarks: list[Remark] = field(default_factory=list)

    @property
    def remarks(self) -> tuple[Remark, ...]:
        """What was collected, in the order of the file; of a line, what is about more first."""
        return tuple(sorted(self._remarks, key=lambda r: (r.line or 0, len(r.place))))

    def not_taken(self, place: Place, why: str) -> None:
        """Note that what stands at a place was not taken."""
        self._add(place, f"not taken: {why}", is_fault=True)

    def not_valid(self, place: Place, why: str) -> None:
        """Note that what stands at a place, or is missing there, cannot be in a definition."""
        if place in self.lines:
            self.not_taken(place, why)
        else:
            self._add(place, why, is_fault=True)

    def not_imported(self, place: Place, what: str) -> None:
        """Note that a whole job was not imported."""
        self._add(place, what, is_fault=True)

    def note(self, place: Place, message: str) -> None:
        """Note what is good to know, and no fault."""
        self._add(place, message, is_fault=False)

    def line_of(self, place: Place) -> int | None:
        """Return the line of a place, or of the nearest one around it."""
        for length in range(len(place), 0, -1):
            if place[:length] in self.lines:
                return self.lines[place[:length]]
        return None

    def _add(self, place: Place, message: str, *, is_fault: bool) -> None:
        message = shortened(message, _MAX_MESSAGE_CHARACTERS)
        self._remarks.append(Remark(self.line_of(place), spelled(place), message, is_fault))


def spelled(place: Place) -> str:
    """Return a place as people write it: `jobs[3].settings.exclude[0]`."""
    text = ""
    for step in place:
        text += f"[{step}]" if isinstance(step, int) else f".{shortened(str(step))}"
    return text.removeprefix(".")


def printable(text: str) -> str:
    """Return a text of a file so that no terminal takes it for more than a text."""
    return safe_text(text)


def shortened(text: str, limit: int = _MAX_STEP_CHARACTERS) -> str:
    """Return a text of a file, cut where it goes on for too long to be read."""
    return text if len(text) <= limit else f"{text[:limit]}…"
