"""The one configuration of logging: a rotated file in the data directory, and standard error.

A thread of its own writes both, so that a disk or a pipe that hangs holds up nobody who logs.
How a line looks stands in fastapi_app/log_lines.py.
"""

from __future__ import annotations

import logging
import os
import queue
import select
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path

from fastapi_app.log_lines import ContextFilter, HumanLine, JsonLine
from models.settings import Settings

MAX_BYTES = 5 * 1024 * 1024
KEPT_FILES = 4
MAX_WAITING = 10_000
"""How many lines may wait to be written; further ones are counted and left out."""
_END_SECONDS = 1.0
"""How long the end waits for the last lines."""
_PIPE_BYTES = 4096
"""So much a pipe takes without blocking once it takes anything (pipe(7), PIPE_BUF)."""
_TALKATIVE = ("alembic", "asyncio")
"""They tell of their own working; wanted by who asks for everything."""
_OUTSIDE = ("apprise", "httpcore", "httpx", "urllib3")
"""They log whole addresses, which may hold a secret anywhere."""
_FORMATTERS: Mapping[str, type[logging.Formatter]] = {"human": HumanLine, "json": JsonLine}


class _PrivateRotatingFileHandler(RotatingFileHandler):
    """Makes its files with mode 0600, and says once, not for each record, that it has no room."""

    is_failing = False

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
        """Say it on standard error. logging would print a traceback for every record."""
        self._failed = True
        if not self.is_failing:
            _write_error(f"The log {self.baseFilename} cannot be written: {sys.exc_info()[1]}\n")


class BackgroundHandler(logging.Handler):
    """Makes lines where something is logged, and has a thread write them."""

    def __init__(self, file: logging.Handler, *, most: int = MAX_WAITING) -> None:
        super().__init__()
        self._file = file
        self._lines: queue.Queue[str | None] = queue.Queue(most)
        self._left_out = 0
        self._thread = threading.Thread(target=self._write_all, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record; never waits."""
        try:
            self._lines.put_nowait(self.format(record))
        except queue.Full:
            self._left_out += 1
        except (TypeError, ValueError):  # A call whose arguments do not fit its message.
            self.handleError(record)

    def close(self) -> None:
        """Write what waits, unless that takes too long; may be called twice."""
        try:
            self._lines.put(None, timeout=_END_SECONDS)
            self._thread.join(_END_SECONDS)
        except queue.Full:
            pass  # What hangs is not waited for.
        super().close()

    def _write_all(self) -> None:
        while (line := self._lines.get()) is not None:
            self._write(line)
            if self._left_out:
                left_out, self._left_out = self._left_out, 0
                self._write(self._line_of(f"{left_out} lines were left out: the log hung"))
        self._file.close()

    def _write(self, line: str) -> None:
        self._file.handle(logging.makeLogRecord({"msg": line}))
        _write_error(f"{line}\n")

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


def _write_error(text: str) -> None:
    """Write to standard error as far as it takes it: a pipe that nobody reads would be full at
    last, and whoever writes to it would wait for ever."""
    rest = text.encode("utf-8", "backslashreplace")
    try:
        descriptor = sys.stderr.fileno()
        while rest and select.select([], [descriptor], [], 0)[1]:
            rest = rest[os.write(descriptor, rest[:_PIPE_BYTES]) :]
    except (OSError, ValueError, AttributeError):
        return  # There is none, as under pythonw or a closed terminal.
