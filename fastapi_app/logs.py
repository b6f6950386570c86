"""The service's own log, in the data directory, rotated."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path

MAX_BYTES = 5 * 1024 * 1024
KEPT_FILES = 4


class _PrivateRotatingFileHandler(RotatingFileHandler):
    """Makes its files with mode 0600."""

    def _open(self) -> TextIOWrapper:
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        return TextIOWrapper(os.fdopen(descriptor, "ab"), encoding=self.encoding)


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
