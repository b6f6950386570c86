"""`longshore serve` with so many cards on a page, and in each update the moment of its change, in
ms, in the place of the current file: `python -m tests.benchmarks.stamped_server CARDS`."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from dataclasses import replace

from core import job_queries
from fastapi_app.commands.serve import serve
from fastapi_app.rendering import Cards
from fastapi_app.routers import pages
from fastapi_app.websocket.hub import CardUpdate, Hub

_changed_at: dict[str, float] = {}
_real_update, _real_change = Cards.update_of, Hub.jobs_changed


def _stamped_update(cards: Cards, job_id: str) -> CardUpdate | None:
    update = _real_update(cards, job_id)
    if update is None or update.values is None or job_id not in _changed_at:
        return update
    stamp = f"{1000 * _changed_at[job_id]:.1f}"
    return replace(update, values={**update.values, "current_file": stamp})


def _stamped_change(hub: Hub, job_ids: Iterable[str]) -> None:
    changed = tuple(job_ids)
    _changed_at.update(dict.fromkeys(changed, time.time()))
    _real_change(hub, changed)


if __name__ == "__main__":
    pages._MOST_CARDS = job_queries.MAX_PAGE = int(sys.argv[1])
    Cards.update_of = _stamped_update  # type: ignore[method-assign,assignment]
    Hub.jobs_changed = _stamped_change  # type: ignore[method-assign,assignment]
    serve()
