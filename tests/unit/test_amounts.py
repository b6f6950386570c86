"""Numbers in human units say exactly what they are, where the text beside it does not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fastapi_app import amounts
from fastapi_app.amounts import Amount
from fastapi_app.run_views import run_detail
from models.run import Phase
from tests.fakes.builders import a_run


@pytest.mark.parametrize(
    ("write", "value", "text", "exact"),
    [
        (amounts.size, None, "–", ""),
        (amounts.size, 0, "0 B", ""),
        (amounts.size, 1023, "1023 B", ""),
        (amounts.size, 1024, "1.0 KiB", "1,024 bytes"),
        (amounts.size, 1_234_567_890, "1.1 GiB", "1,234,567,890 bytes"),
        (amounts.rate, None, "–", ""),
        (amounts.rate, 512.4, "512 B/s", ""),
        (amounts.rate, 30_828_134.4, "29.4 MiB/s", "30,828,134 bytes per second"),
        (amounts.duration, None, "–", ""),
        (amounts.duration, 0.4, "0.4 s", ""),
        (amounts.duration, 12.34, "12 s", "12.3 s"),
        (amounts.duration, 3_723.4, "1 h 02 min", "3,723.4 s"),
    ],
)
def test_an_amount(
    write: Callable[[float | None], Amount], value: float | None, text: str, exact: str
) -> None:
    amount = write(value)
    assert (amount.text, amount.exact) == (text, exact)
    assert str(amount) == text


def test_what_changes_while_it_is_looked_at_has_no_exact_value_that_would_stay_behind() -> None:
    phases = (
        Phase("preflight", "2026-11-23T12:00:00Z", "2026-11-23T12:00:30Z", "completed", None, 30.0),
        Phase("transfer", "2026-11-23T12:00:30Z"),
    )
    ended, under_way = run_detail(a_run(phases=phases)).phases
    assert ended.duration == Amount("30 s", "30.0 s")
    assert under_way.duration.exact == ""
