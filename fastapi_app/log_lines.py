"""How a record of the log becomes a line: for people, or as JSON; neither can be forged.

Control characters are escaped, so that no file name begins a line of its own or commands a
terminal; names and passwords in addresses are masked.
"""

from __future__ import annotations

import json
import logging
import re
import unicodedata
from datetime import UTC, datetime

from utils import log_context
from utils.shown_names import TURNING

_USER_INFO = re.compile(r"(?<=://)[^\s/?#]*@")
_ESCAPED = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Control characters, lone surrogates, and what else ends a line (Unicode categories)."""
_INDENT = "    "


class ContextFilter(logging.Filter):
    """Puts onto each record of which job, run and request it tells, where that is known."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass. What the call gave itself (`extra`) counts more."""
        known = log_context.ids()
        for name in log_context.NAMES:
            if not hasattr(record, name):
                setattr(record, name, known.get(name))
        return True


class HumanLine(logging.Formatter):
    """`time LEVEL logger: message [job …, run …]`; a traceback follows, set in."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line, or more with those after the first set in."""
        known = [
            f"{name.removesuffix('_id')} {value}"
            for name, value in _ids_of(record).items()
            if value not in record.getMessage()
        ]
        line = f"{_time(record, '%Y-%m-%dT%H:%M:%S%z')} {record.levelname} {record.name}: "
        line += safe(record.getMessage()) + (f" [{safe(', '.join(known))}]" if known else "")
        trace = _trace_of(self, record)
        return "\n".join([line, *(_INDENT + safe(one) for one in trace.splitlines())])


class JsonLine(logging.Formatter):
    """One object in one line, in plain ASCII."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        document: dict[str, object] = {
            "time": _time(record, None),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": masked(record.getMessage()),
            **_ids_of(record),
            **getattr(record, "fields", {}),
        }
        trace = _trace_of(self, record)
        if trace:
            document["exception"] = masked(trace)
        # ASCII, so that neither a lone surrogate nor a line end of Unicode can be in it.
        return json.dumps(document, default=str)


def safe(text: str) -> str:
    """Return a text as part of a line: masked, and nothing in it ends the line."""
    text = masked(text)
    if text.isprintable():
        return text
    return "".join(
        one.encode("unicode_escape").decode("ascii")
        if unicodedata.category(one) in _ESCAPED or one in TURNING
        else one
        for one in text
    )


def masked(text: str) -> str:
    """Return a text whose addresses tell no user and no password."""
    return _USER_INFO.sub("***@", text) if "://" in text else text


def _ids_of(record: logging.LogRecord) -> dict[str, str]:
    found = {name: getattr(record, name, None) for name in log_context.NAMES}
    return {name: str(value) for name, value in found.items() if value}


def _time(record: logging.LogRecord, form: str | None) -> str:
    at = datetime.fromtimestamp(record.created, UTC)
    if form is None:
        return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return at.astimezone().strftime(form)


def _trace_of(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    parts = [formatter.formatException(record.exc_info)] if record.exc_info else []
    if record.stack_info:
        parts.append(formatter.formatStack(record.stack_info))
    return "\n".join(parts)
