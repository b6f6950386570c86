"""The one configuration of logging: a rotated file in the data directory, and standard error.

Each has a thread of its own that writes to it, so that a disk or a pipe that hangs holds up neither
the other nor anybody who logs. How a line looks stands in fastapi_app/log_lines.py.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path

from fastapi_app.log_lines import ContextFilter, HumanLine, JsonLine
from fastapi_app.log_writers import LineWriter, StandardError
from models.settings import Settings

MAX_BYTES = 5 * 1024 * 1024
KEPT_FILES = 4
MAX_WAITING = 10_000
"""How many lines may wait for each of the two; further ones are counted and left out."""
_END_SECONDS = 1.0
"""How long the end waits for the last lines."""
_TALKATIVE = ("alembic", "asyncio")
"""They tell of their own working; wanted by who asks for everything."""
_OUTSIDE = ("apprise", "httpcore", "httpx", "urllib3")
"""They log whole addresses, which may hold a secret anywhere."""
_FORMATTERS: Mapping[str, type[logging.Formatter]] = {"human": HumanLine, "json": JsonLine}


class _PrivateRotatingFileHandler(RotatingFileHandler):
    """Makes its files with mode 0600, and says once, not for each record, that it has no room."""

    is_failing = False
    tell: Callable[[str], None] | None = None
    """Who is told of that."""

    def _open(self) -> TextIOWrapper:
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        file = os.fdopen(descriptor, "ab")
        # A name of a file may be any bytes.
        return TextIOWrapper(file, encoding=self.encoding, errors="backslashreplace")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line that whoever logged has made already."""
        return str(record.msg)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record; the first one that can be written again ends the silence."""
        self._failed = False
        super().emit(record)
        self.is_failing = self._failed

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's own name
        """Say it elsewhere. logging would print a traceback for every record."""
        self._failed = True
        if self.tell is not None and not self.is_failing:
            self.tell(f"The log {self.baseFilename} cannot be written: {sys.exc_info()[1]}")


class BackgroundHandler(logging.Handler):
    """Makes lines where something is logged, and has threads write them."""

    def __init__(self, file: logging.Handler, *, most: int = MAX_WAITING) -> None:
        super().__init__()
        self._file = file
        self._error = StandardError()
        told = self._left_out
        self._to_file = LineWriter(self._keep, most=most, told=told, close=file.close)
        self._to_error = LineWriter(
            self._error.write, most=most, told=told, close=self._error.close
        )

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record; never waits."""
        try:
            line = self.format(record)
        except (LookupError, TypeError, ValueError) as error:
            # A call whose arguments do not fit its message.
            place = f"{record.pathname}:{record.lineno}"
            line = self._line_of(f"What {place} logs is no line: {error}: {record.msg!r}")
        self._to_file.put(line)
        self._to_error.put(line)

    def tell(self, message: str) -> None:
        """Say something on standard error alone."""
        self._to_error.put(self._line_of(message))

    def close(self) -> None:
        """Write what waits, unless that takes too long; may be called twice."""
        deadline = time.monotonic() + _END_SECONDS
        self._to_file.end(deadline)
        self._to_error.end(deadline)
        self._error.close()
        super().close()

    def _keep(self, line: str) -> None:
        self._file.handle(logging.makeLogRecord({"msg": line}))

    def _left_out(self, count: int) -> str:
        return self._line_of(f"{count} lines were left out: the log hung")

    def _line_of(self, message: str) -> str:
        record = logging.makeLogRecord(
            {"name": __name__, "levelno": logging.WARNING, "levelname": "WARNING", "msg": message}
        )
        return self.format(record)


@contextmanager
def keep_log(data_dir: Path, settings: Settings) -> Iterator[None]:
    """Write what the program logs to standard error and to logs/longshore.log: five files of 5 MB
    at most."""
    directory = data_dir / "logs"
    directory.mkdir(mode=0o700, exist_ok=True)
    file = _PrivateRotatingFileHandler(
        directory / "longshore.log", maxBytes=MAX_BYTES, backupCount=KEPT_FILES, encoding="utf-8"
    )
    handler = BackgroundHandler(file)
    file.tell = handler.tell
    handler.addFilter(ContextFilter())
    handler.setFormatter(_FORMATTERS[settings.log_format]())
    levels = _levels(logging.getLevelNamesMapping()[settings.log_level.upper()])
    before = {name: logging.getLogger(name).level for name in levels}
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        _set_levels(levels)
        yield
    finally:
        _set_levels(before)
        root.removeHandler(handler)
        handler.close()


def _levels(level: int) -> dict[str, int]:
    """Return the levels by logger; the root has no name."""
    talkative = level if level < logging.INFO else max(level, logging.WARNING)
    return {
        "": level,
        **dict.fromkeys(_TALKATIVE, talkative),
        **dict.fromkeys(_OUTSIDE, max(level, logging.WARNING)),
    }


def _set_levels(levels: Mapping[str, int]) -> None:
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
