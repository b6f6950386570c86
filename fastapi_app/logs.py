"""The service's own log, in the data directory, rotated."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path

MAX_BYTES = 5 * 1024 * 1024
KEPT_FILES = 4


class _PrivateRotatingFileHandler(RotatingFileHandler):
    """Makes its files with mode 0600, and says once, not for each record, that it has no room."""

    is_failing = False

    def _open(self) -> TextIOWrapper:
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        file = os.fdopen(descriptor, "ab")
        # A name of a file may be any bytes.
        return TextIOWrapper(file, encoding=self.encoding, errors="backslashreplace")

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record; the first one that can be written again ends the silence."""
        self._failed = False
        super().emit(record)
        self.is_failing = self._failed

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's own name
        """Say it on standard error. logging would print a traceback for every record, and a pipe
        that nobody reads would be full at last and stop the server."""
        self._failed = True
        if not self.is_failing:
            sys.stderr.write(
                f"The log {self.baseFilename} cannot be written: {sys.exc_info()[1]}\n"
            )


@contextmanager
def keep_log(data_dir: Path) -> Iterator[None]:
    """Write what the program logs to logs/longshore.log: five files of 5 MB at most."""
    directory = data_dir / "logs"
    directory.mkdir(mode=0o700, exist_ok=True)
    handler = _PrivateRotatingFileHandler(
        directory / "longshore.log", maxBytes=MAX_BYTES, backupCount=KEPT_FILES, encoding="utf-8"
    )
    handler.setFormatter(
        logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S%z")
    )
    root = logging.getLogger()
    root.addHandler(handler)
    level = root.level
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.setLevel(level)
        root.removeHandler(handler)
        handler.close()
