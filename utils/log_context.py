"""Of which job, run and request a line of the log tells: set where work begins, read by the log.

Tasks and asyncio.to_thread take it along (contextvars); no call that logs has to pass it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

NAMES = ("job_id", "run_id", "request_id")
_IDS: ContextVar[Mapping[str, str]] = ContextVar("log_ids")


def ids() -> Mapping[str, str]:
    """Return what is known here, by name."""
    return _IDS.get({})


def begin(*, request_id: str) -> None:
    """Forget what was known: a request begins, in a context of its own."""
    _IDS.set({"request_id": request_id})


@contextmanager
def about(*, job_id: str | None = None, run_id: str | None = None) -> Iterator[None]:
    """Have everything inside tell of these, beside what was known before."""
    token = _IDS.set(_with(job_id=job_id, run_id=run_id))
    try:
        yield
    finally:
        _IDS.reset(token)


def note(*, job_id: str | None = None, run_id: str | None = None) -> None:
    """Add what has become known, until the `about` around it, or the task, ends."""
    _IDS.set(_with(job_id=job_id, run_id=run_id))


def _with(**given: str | None) -> Mapping[str, str]:
    return {**ids(), **{name: value for name, value in given.items() if value is not None}}
