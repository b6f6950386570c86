"""The audit log as its page shows it: which entries are meant, and each in words."""

from __future__ import annotations

import time
from collections.abc import Container, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from typing import Annotated

from fastapi import Query

from fastapi_app import formatting
from fastapi_app.error_filter import MAX_QUERY
from fastapi_app.moments import Moment, moment
from fastapi_app.services import Services
from fastapi_app.spans import SPAN_SECONDS, SPAN_WORDS
from models.access import Way
from models.audit import Action, AuditEntry, AuditFilter, AuditPage
from utils.timestamps import utc_timestamp

ENTRIES_PER_PAGE = 50
_MOST_FACTS = 6
_MOST_JOBS = 500
_ACTION_WORDS = {
    Action.FAILED_RETRIED: "Failed files retried",
    Action.JOBS_TAGGED: "Job tagged",
    Action.SIGN_IN_FAILED: "Sign-in failed",
    Action.SETTINGS_CHANGED: "Settings changed",
}
_WAY_WORDS = {
    Way.OPEN: "no password is set",
    Way.SESSION: "signed in",
    Way.TOKEN: "by a token",
    Way.LOCAL: "by the command line",
    Way.PROXY: "by the proxy",
}
_ACTIONS = "|".join(Action)
Words = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class AuditQuery:
    """Which entries, as the page's address says; an empty value means any."""

    q: Annotated[str, Query(max_length=MAX_QUERY)] = ""
    account: Annotated[str, Query(max_length=MAX_QUERY)] = ""
    action: Annotated[str, Query(pattern=f"^({_ACTIONS})?$")] = ""
    job: Annotated[str, Query(max_length=MAX_QUERY)] = ""
    within: Annotated[str, Query(pattern="^(hour|day|week|month)?$")] = ""

    @property
    def filter(self) -> AuditFilter:
        """Return it as a filter of the audit log."""
        span = SPAN_SECONDS.get(self.within)
        return AuditFilter(
            account=self.account or None,
            action=Action(self.action) if self.action else None,
            job_id=self.job or None,
            q=self.q or None,
            since=utc_timestamp(time.time() - span) if span else None,
        )

    @property
    def is_filtered(self) -> bool:
        """Whether not all are wanted."""
        return self != AuditQuery()

    def for_the_api(self) -> dict[str, str | None]:
        """Return it as the API's parameters."""
        return {
            "q": self.q,
            "account": self.account,
            "action": self.action,
            "job_id": self.job,
            "since": self.filter.since,
        }


@dataclass(frozen=True)
class AuditRow:
    """One entry in words; a job that is gone is named without a link."""

    id: str
    when: Moment | None
    account: str
    whose: str
    """The role and how it was known, as words."""
    address: str
    action: str
    job_id: str | None
    job_name: str | None
    run_id: str | None
    facts: Words
    more: Words
    """Facts that do not find room at once."""


@dataclass(frozen=True)
class AuditView:
    """A page of the audit log."""

    query: AuditQuery
    rows: tuple[AuditRow, ...]
    total: int
    total_text: str
    is_readable: bool
    accounts: Words
    jobs: Words
    next_url: str | None
    export_urls: Words
    actions: Words
    kept_days: str
    max_entries: str
    cut_short: Moment | None
    """From when the oldest entry is, where older ones went for being too many."""
    spans: Words = SPAN_WORDS


async def audit_view(services: Services, query: AuditQuery, cursor: str | None) -> AuditView:
    """Return a page of the audit log from a cursor on."""
    link = services.renderer.url_with_query
    found = await services.history.part("audit", partial(_read, services, query, cursor))
    page, accounts, runs, cut_short = found or (AuditPage((), 0), (), frozenset[str](), None)
    jobs = services.queries.all_jobs()
    more = link("audit_page", {**asdict(query), "cursor": page.next_cursor})
    export = query.for_the_api()
    names = tuple(name for name in accounts if name)
    chosen = (query.account,) if query.account and query.account not in names else ()
    return AuditView(
        query=query,
        rows=tuple(audit_row(entry, jobs, runs) for entry in page.items),
        total=page.total,
        total_text=formatting.count(page.total),
        is_readable=found is not None,
        accounts=tuple((name, name) for name in (*chosen, *names)),
        jobs=_jobs(services, query.job),
        next_url=more if page.next_cursor else None,
        export_urls=tuple(
            (word, link("api_audit_export", {**export, "format": form}))
            for form, word in (("csv", "CSV"), ("json", "JSON"))
        ),
        actions=tuple((one.value, action_word(one)) for one in Action),
        kept_days=f"{services.audit.log.kept_days:,g}",
        max_entries=formatting.count(services.audit.log.max_entries),
        cut_short=moment(cut_short) if cut_short else None,
    )


def action_word(action: Action) -> str:
    """Return how an action is called."""
    return _ACTION_WORDS.get(action) or action.value.replace("_", " ").capitalize()


def audit_row(entry: AuditEntry, jobs: Container[str], runs: Container[str]) -> AuditRow:
    """Return an entry in words."""
    facts = tuple(_fact(name, value) for name, value in entry.details.items())
    # One more takes no more room than to say that there is one.
    shown = _MOST_FACTS if len(facts) > _MOST_FACTS + 1 else len(facts)
    way = _WAY_WORDS.get(Way(entry.way), "") if entry.way in set(Way) else ""
    return AuditRow(
        id=entry.id,
        when=moment(entry.time),
        account=entry.account,
        whose=", ".join(word for word in (entry.role or "", way) if word),
        address=entry.address,
        action=action_word(entry.action),
        job_id=entry.job_id if (entry.job_id or "") in jobs else None,
        job_name=entry.job_name or entry.job_id,
        run_id=entry.run_id if (entry.run_id or "") in runs else None,
        facts=facts[:shown],
        more=facts[shown:],
    )


def _fact(name: str, value: object) -> tuple[str, str]:
    label = name.removeprefix("options.").replace(".", " ").replace("_", " ")
    if isinstance(value, Mapping) and set(value) == {"before", "after"}:
        return label, f"{_text(value['before'])} → {_text(value['after'])}"
    if isinstance(value, list):
        return label, ", ".join(map(_text, value))
    return label, _text(value)


def _text(value: object) -> str:
    if value is None or value == "":
        return formatting.UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return formatting.count(value)
    return str(value)


async def _read(
    services: Services, query: AuditQuery, cursor: str | None
) -> tuple[AuditPage, tuple[str, ...], frozenset[str], str | None]:
    log = services.audit.log
    page = await log.find(query.filter, limit=ENTRIES_PER_PAGE, cursor=cursor)
    named = {entry.run_id for entry in page.items if entry.run_id is not None}
    runs = await services.queries.known_runs(named) if named else frozenset[str]()
    return page, await log.accounts(), runs, await log.cut_short_at()


def _jobs(services: Services, chosen: str) -> Words:
    """Return the jobs to choose from: those that there are, and the one that is chosen."""
    records = services.queries.all_jobs()
    first = islice(records.values(), _MOST_JOBS)
    found = {record.job.id: record.job.name for record in first}
    if chosen:
        record = records.get(chosen)
        found.setdefault(chosen, record.job.name if record else chosen)
    return tuple(sorted(found.items(), key=lambda job: job[1].casefold()))
