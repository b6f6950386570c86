"""What a journal comes to, folded by the tests themselves, to compare with what a server shows."""

from __future__ import annotations

from typing import Any

_COUNTERS = ("bytes_done", "bytes_sent", "files_done", "files_skipped")
_PHASE = ("name", "started_at", "ended_at", "outcome")
Document = dict[str, Any]


class Fold:
    """The figures of a run after some lines of its journal."""

    def __init__(self) -> None:
        self.figures: Document = dict.fromkeys((*_COUNTERS, "attempts", "files_failed"), 0)
        self.figures |= {"phases": [], "outcome": None, "exit_code": None, "updated_at": None}

    def take(self, line: Document) -> None:
        """Take the next line."""
        figures = self.figures
        if line["event"] == "phase_started":
            figures["phases"].append([line["name"], line["t"], None, None])
        elif line["event"] == "phase_ended":
            (phase,) = [one for one in figures["phases"] if one[2] is None]
            assert phase[0] == line["name"], line
            phase[2:] = [line["t"], line["outcome"]]
        elif line["event"] == "engine_started":
            figures["files_failed"] = 0
        elif line["event"] == "file_failed":
            figures["files_failed"] += 1
        elif line["event"] == "run_ended":
            for name in ("attempts", "files_failed", "outcome", "exit_code"):
                figures[name] = line[name]
        figures["attempts"] = max(figures["attempts"], line.get("attempt", 0))
        if "progress" in line:
            progress = line["progress"]
            figures |= {name: progress[name] for name in (*_COUNTERS, "updated_at")}


def shown_figures(run: Document) -> Document:
    """Return the same figures as the API shows them."""
    names = (*_COUNTERS, "attempts", "files_failed", "outcome", "exit_code")
    phases = [[phase[name] for name in _PHASE] for phase in run["phases"]]
    progress = run["progress"]
    updated_at = progress["updated_at"] if progress else None
    return {name: run[name] for name in names} | {"phases": phases, "updated_at": updated_at}


def lines_shown(journal: list[Document], run: Document) -> int:
    """Return how many lines of the journal, from its first on, have come to what is shown of the
    run; fails when no such number of lines has, because one was lost or counted twice."""
    shown = shown_figures(run)
    fold = Fold()
    for number, line in enumerate(journal, 1):
        fold.take(line)
        if fold.figures == shown:
            return number
    raise AssertionError(f"no part of the journal comes to {shown}; all of it: {fold.figures}")
