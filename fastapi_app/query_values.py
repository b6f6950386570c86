"""Values of an address that may be left empty, as a form does that was not filled in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, TypeVar

from fastapi import Query
from pydantic import BeforeValidator, GetCoreSchemaHandler, GetJsonSchemaHandler, WithJsonSchema
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

Value = TypeVar("Value")


def _none_for_empty(value: Any) -> Any:
    return None if value == "" else value


@dataclass(frozen=True)
class _EmptyIsNone:
    """Takes the empty text for nothing, and says so in the description of the API."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_before_validator_function(_none_for_empty, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"anyOf": [handler(schema), {"type": "string", "const": ""}]}


def _no_number(value: Any) -> Any:
    # Pydantic would take it for seconds or for milliseconds, by its size.
    try:
        float(value)
    except (TypeError, ValueError):
        return value
    raise PydanticCustomError("moment", "Write a date or a time as ISO 8601 has it.")


EMPTY_IS_NONE = _EmptyIsNone()
"""Last of an annotation: what stands before it is not asked of an empty value."""
Moment = Annotated[
    datetime,
    BeforeValidator(_no_number),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "format": "date-time"},
                {"type": "string", "format": "date"},
            ]
        }
    ),
]
"""A time, or the beginning of a day, as ISO 8601 has it."""
OrAny = Annotated[Value | None, EMPTY_IS_NONE]
"""Something to look for; empty means any."""
Cursor = Annotated[str | None, Query(pattern="^[0-9]{1,18}$"), EMPTY_IS_NONE]
"""Where a page of a list begins; empty means with the first."""
