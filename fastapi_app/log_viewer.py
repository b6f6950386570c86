"""Which part of a run's log its viewer shows: the end, a place, or what stands around a hit."""

from __future__ import annotations

from fastapi_app.log_views import LINES_BEFORE_HIT, LINES_PER_PAGE, LogQuery, LogView, log_view
from fastapi_app.services import Services
from models.run import Run
from storage.log_lines import LogPage, Wanted


async def viewer(
    services: Services,
    run: Run,
    query: LogQuery,
    *,
    at: int | None = None,
    before: int | None = None,
    find: str = "",
) -> LogView:
    """Return the viewer of a run's log at a place, or at a hit."""
    if find == "first":
        at = before = None
    shown, hits = query.wanted(run.engine), query.wanted(run.engine, all_words=True)
    hit = None
    if query.text and not query.only and (find or (at is None and before is None)):
        hit = await _find(services, run.id, hits, at=at, find=find)
    if hit is not None:
        found = await _around(services, run.id, hit, shown)
    elif at is not None:
        found = await services.logs.from_place(run.id, at, shown, LINES_PER_PAGE)
    else:
        found = await services.logs.before(run.id, before, shown, LINES_PER_PAGE)
    count = None
    if not hits.is_everything:
        count = await services.logs.count(run.id, hits, before=hit or 0)
    return log_view(run, query, found, hit=hit, count=count, url=services.renderer.url)


async def _find(
    services: Services, run_id: str, hits: Wanted, *, at: int | None, find: str
) -> int | None:
    """Return where the next or the previous hit is: behind the last one comes the first again."""
    logs = services.logs
    if find == "previous":
        found = await logs.before(run_id, at, hits, 1)
        found = found if found.lines else await logs.before(run_id, None, hits, 1)
    elif find == "next" and at is not None:
        found = await logs.behind(run_id, at, hits, 1)
        found = found if found.lines else await logs.from_place(run_id, 0, hits, 1)
    else:
        found = await logs.from_place(run_id, 0, hits, 1)
    return found.lines[0].place if found.lines else None


async def _around(services: Services, run_id: str, hit: int, shown: Wanted) -> LogPage:
    """Return what led to a hit, the hit, and what follows."""
    led = await services.logs.before(run_id, hit, shown, LINES_BEFORE_HIT)
    rest = LINES_PER_PAGE - len(led.lines)
    found = await services.logs.from_place(run_id, hit, shown, rest)
    return LogPage(
        lines=led.lines + found.lines,
        first_place=led.first_place,
        next_place=found.next_place,
        has_earlier=led.has_earlier,
        has_later=found.has_later,
    )
