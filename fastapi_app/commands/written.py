"""What commands on logs have in common: times as a person writes them, and files as they come."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from fastapi_app.commands.console import fail, write_file
from utils.timestamps import utc_timestamp

_SECONDS = {"m": 60, "h": 60 * 60, "d": 24 * 60 * 60}
_MOST_DIGITS = 6


def time_in(text: str) -> str:
    """Return a time that was written as a span before now, and any other text as it is."""
    number, unit = text[:-1], text[-1:]
    is_span = unit in _SECONDS and number.isascii() and number.isdecimal()
    if not is_span or len(number) > _MOST_DIGITS:
        return text
    return utc_timestamp(max(0.0, time.time() - int(number) * _SECONDS[unit]))


def write_parts(parts: Iterator[bytes], output: Path | None) -> None:
    """Write what comes to a file, or to standard output; says what is wrong and exits."""
    if output is None:
        write_file(parts)
        return
    first = next(parts)  # Before a file is touched: the server may say no.
    try:
        with output.open("wb") as file:
            file.write(first)
            file.writelines(parts)
    except OSError as error:
        fail(f"{output}: {error.strerror}")
