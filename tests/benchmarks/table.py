"""What a benchmark yields: rows, printed as a table and written as JSON (contracts.md)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Row:
    """One figure beside its reference, which was measured in the same run."""

    name: str
    value: float
    unit: str
    reference: float
    ratio: float
    aim: str


def row(name: str, value: float, unit: str, *, reference: float, aim: str) -> Row:
    """Return a row; figures are rounded to what they are worth."""
    return Row(name, round(value, 4), unit, round(reference, 4), round(value / reference, 3), aim)


def show(rows: Sequence[Row]) -> None:
    """Print the rows."""
    table = Table("benchmark", "value", "unit", "reference", "ratio", "aim")
    for one in rows:
        table.add_row(
            one.name, f"{one.value:g}", one.unit, f"{one.reference:g}", f"{one.ratio:g}", one.aim
        )
    Console().print(table)


def write(rows: Sequence[Row], path: Path) -> None:
    """Write the rows as JSON."""
    path.write_text(json.dumps([asdict(one) for one in rows], indent=1) + "\n")
