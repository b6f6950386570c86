"""A duration in a form: a number and its unit, put together to the seconds that a definition holds.

A form without the unit, as other programs post it, has the seconds themselves.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

UNITS = (("86400", "days"), ("3600", "hours"), ("60", "minutes"), ("1", "seconds"))
"""What can be chosen: how many seconds, with its word."""
_USUAL = "86400"
_LONGEST = 12
_NUMBER = re.compile(r"[0-9]{1,12}([.,][0-9]{1,6})?$")


class DurationFields(NamedTuple):
    """A duration as a form shows it."""

    number: str = ""
    unit: str = _USUAL


def fields_of(seconds: str) -> DurationFields:
    """Return the fields of a duration as it was stored or typed: whole numbers, as small as can be.
    What is no number of seconds is shown as it is."""
    text = seconds.strip()
    if not (text.isascii() and text.isdecimal()) or len(text) > _LONGEST:
        return DurationFields(seconds)
    unit = next(unit for unit, _ in UNITS if int(text) % int(unit) == 0)
    return DurationFields(str(int(text) // int(unit)), unit)


def posted_duration(posted: Mapping[str, Any], name: str) -> str:
    """Return the seconds that a posted form means; what is no number stays as it was typed."""
    text, unit = str(posted.get(name, "")), str(posted.get(f"{name}_unit", ""))
    if unit not in dict(UNITS) or not _NUMBER.match(text.strip()):
        return text
    seconds = Decimal(text.strip().replace(",", ".")) * int(unit)
    return f"{seconds:.0f}" if seconds == seconds.to_integral_value() else text
