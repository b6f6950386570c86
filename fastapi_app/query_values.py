"""Values of an address that may be left empty, as a form does that was not filled in."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from fastapi import Query
from pydantic import BeforeValidator

Value = TypeVar("Value")


def _none_for_empty(value: Any) -> Any:
    return None if value == "" else value


EMPTY_IS_NONE = BeforeValidator(_none_for_empty)
"""Last of an annotation: what stands before it is not asked of an empty value."""
OrAny = Annotated[Value | None, EMPTY_IS_NONE]
"""Something to look for; empty means any."""
Cursor = Annotated[str | None, Query(pattern="^[0-9]{1,18}$"), EMPTY_IS_NONE]
"""Where a page of a list begins; empty means with the first."""
