"""What the viewer of a log shows, as typed values: lines with their hits, and where it stands."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Query

from core.engines.log_levels import LOG_LEVELS
from fastapi_app import formatting
from fastapi_app.query_values import EMPTY_IS_NONE
from models.log_level import LevelPatterns, LogLevel
from models.run import Run
from storage.log_lines import LineCount, LogLine, LogPage, Wanted

MAX_QUERY = 200
"""How many characters a person looks for."""
LINES_PER_PAGE = 400
LINES_BEFORE_HIT = 40
"""How much of what led to a hit is shown with it."""
MAX_SHOWN_LINE = 2_000
"""How many characters of a line are shown; the download has them all."""
_LARGEST_PLACE = 2**62

Place = Annotated[
    int | None,
    Query(ge=0, le=_LARGEST_PLACE),
    # As with the other lists, an empty value means none.
    EMPTY_IS_NONE,
]


@dataclass(frozen=True)
class LogQuery:
    """What of a log is wanted, as the page's address says."""

    q: Annotated[str, Query(max_length=MAX_QUERY)] = ""
    level: Annotated[str, Query(pattern="^(error|warning)?$")] = ""
    only: Annotated[str, Query(pattern="^(on)?$")] = ""
    """Whether only the lines with the words are shown."""

    def wanted(self, engine: str, *, all_words: bool = False) -> Wanted:
        """Return which lines are shown; with `all_words` which of them are hits."""
        text = self.text if all_words or self.only else ""
        level = LogLevel(self.level) if self.level else None
        return Wanted(LOG_LEVELS[engine], text.encode("utf-8", errors="replace"), level)

    @property
    def text(self) -> str:
        """The words that are looked for: no line holds the end of a line."""
        return " ".join(self.q.splitlines())

    def parameters(self, **more: str | int | None) -> str:
        """Return it as part of an address, with what else is given."""
        given = {"q": self.q, "level": self.level, "only": self.only, **more}
        return urlencode({name: value for name, value in given.items() if value not in {"", None}})


@dataclass(frozen=True)
class LineView:
    """One line: its parts, every second of which is a hit, its level and its place."""

    place: int
    parts: tuple[str, ...]
    level: str
    is_current: bool = False


@dataclass(frozen=True)
class LogView:
    """A log, or the part of it that is shown."""

    run_id: str
    query: LogQuery
    lines: tuple[LineView, ...]
    first_place: int
    next_place: int
    has_earlier: bool
    has_later: bool
    place: int
    """Where a search goes on: the hit that is shown, or the first line."""
    about: str
    """What is found, in words; the empty text when nothing was looked for."""
    is_active: bool
    is_empty: bool
    here: str
    lines_url: str
    download_url: str

    def at(self, **where: str | int) -> str:
        """Return the address of another part of it."""
        return f"{self.here}?{self.query.parameters(**where)}#log-view"


def line_views(
    lines: Iterable[LogLine], patterns: LevelPatterns, text: str, current: int | None = None
) -> tuple[LineView, ...]:
    """Return lines as they are shown, with the hits of a text."""
    hits = re.compile(f"({re.escape(text)})", re.IGNORECASE) if text else None
    return tuple(_line_view(line, patterns, hits, current) for line in lines)


def log_view(
    run: Run,
    query: LogQuery,
    page: LogPage,
    *,
    hit: int | None,
    count: LineCount | None,
    url: Callable[..., str],
) -> LogView:
    """Return the viewer of a run's log."""
    download = url("run_log_download", run_id=run.id)
    parameters = query.parameters()
    return LogView(
        run_id=run.id,
        query=query,
        lines=line_views(page.lines, LOG_LEVELS[run.engine], query.text, hit),
        first_place=page.first_place,
        next_place=page.next_place,
        has_earlier=page.has_earlier,
        has_later=page.has_later,
        place=hit if hit is not None else page.first_place,
        about=_about(query, count, hit),
        is_active=not run.is_over,
        is_empty=not page.lines and not page.has_earlier and not page.has_later,
        here=url("run_log", run_id=run.id),
        lines_url=url("run_log_lines", run_id=run.id),
        download_url=f"{download}?{parameters}" if parameters else download,
    )


def _about(query: LogQuery, count: LineCount | None, hit: int | None) -> str:
    if count is None:
        return ""
    more = "" if count.is_all else " in the part that was looked through"
    found = f"{formatting.count(count.total)} {'line' if count.total == 1 else 'lines'}"
    if not query.text or query.only:
        return f"{found}{more}" if count.total else f"No line matches{more}"
    if not count.total:
        return f"Nothing found{more}"
    if hit is None:
        return f"Found in {found}{more}"
    return f"Hit {formatting.count(count.before + 1)} of {formatting.count(count.total)}{more}"


def _line_view(
    line: LogLine, patterns: LevelPatterns, hits: re.Pattern[str] | None, current: int | None
) -> LineView:
    text = shown_line(line.content)
    return LineView(
        place=line.place,
        parts=tuple(hits.split(text)) if hits else (text,),
        level=patterns.level_of(line.content) or "",
        is_current=line.place == current,
    )


def shown_line(content: bytes) -> str:
    r"""Return a line for people: what cannot be shown is escaped, as `\xff` or `\x1b`.

    A carriage return redraws a line in a terminal; here each state is a line of its own.
    """
    text = content.rstrip(b"\r").decode("utf-8", errors="backslashreplace").replace("\r", "\n")
    if len(text) > MAX_SHOWN_LINE:
        more = formatting.count(len(text) - MAX_SHOWN_LINE)
        text = f"{text[:MAX_SHOWN_LINE]} … {more} more characters"
    if text.isprintable():
        return text
    return "".join(
        character
        if character.isprintable() or character in "\n\t"
        else character.encode("unicode_escape").decode("ascii")
        for character in text
    )
