"""Proves what a run's page says of deleted sources: the counts, the way back, and the list."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fastapi_app.deleted_source_views import DeletionsQuery, DeletionsView, deletions_view
from models.deleted_sources import DeletingRun, DeletionPage
from models.source_deletions import Deletion, DeletionOutcome

LATER = "2026-12-26T10:00:00.000Z"
RUN = DeletingRun(
    run_id="run-1",
    job_id="camera-0001",
    job_name="Camera",
    source="/srv/camera",
    destination="/backup/camera",
    ended_at="2026-11-26T10:00:00.000Z",
    trash_until=LATER,
)


def view(run: DeletingRun, *items: Deletion, **query: Any) -> DeletionsView:
    """Return what the page shows of a run with these sources on its page."""
    next_cursor = query.pop("next_cursor", None)
    no_put_back = query.pop("no_put_back", None)
    page = DeletionPage(items, len(items), next_cursor)
    return deletions_view(
        run,
        page,
        DeletionsQuery(**query),
        no_put_back=no_put_back,
        url=lambda name, **parts: f"/runs/{parts['run_id']}",
    )


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        ({"deleted": 1}, "1 was deleted for good."),
        ({"deleted": 1204, "kept": 1}, "1,204 were deleted for good, 1 was kept."),
        ({"trashed": 1, "restored": 2}, "1 lies in the trash folder, 2 were put back."),
        ({"trashed": 3, "purged_at": LATER}, "3 lay in the trash folder, which was emptied."),
        ({"cut_off": 1}, "1 was cut off while it was deleted."),
        ({"cut_off": 2}, "2 were cut off while they were deleted."),
        ({}, "None."),
    ],
)
def test_the_counts_are_told_as_a_sentence(counts: dict[str, Any], told: str) -> None:
    assert view(replace(RUN, **counts)).counts == told


@pytest.mark.parametrize(
    ("facts", "can_put_back", "is_there", "is_emptied_later"),
    [
        ({"trashed": 3}, True, True, True),
        # No time is promised that nobody keeps.
        ({"trashed": 3, "unproven": 1}, True, True, False),
        ({"cut_off": 1, "unproven": 1}, True, True, False),
        ({"trashed": 3, "trash_until": None}, True, True, False),
        ({"trashed": 3, "purged_at": LATER}, False, False, False),
        ({"restored": 3}, False, False, False),
        ({"deleted": 3, "trash_until": None}, False, False, False),
        ({"cut_off": 1, "trash_until": None}, False, False, False),
    ],
)
def test_what_lies_in_the_trash_has_a_way_back_and_an_end_that_is_true(
    facts: dict[str, Any], can_put_back: bool, is_there: bool, is_emptied_later: bool
) -> None:
    shown = view(replace(RUN, **facts))
    assert shown.can_put_back is can_put_back
    assert (shown.trash_folder == ".longshore-trash/run-1") is is_there
    assert (shown.trash_until is not None) is is_emptied_later


def test_while_a_run_is_under_way_the_page_says_why_there_is_no_way_back() -> None:
    shown = view(replace(RUN, trashed=1), no_put_back="A run of its job is under way.")
    assert (shown.can_put_back, shown.no_put_back) == (False, "A run of its job is under way.")


def test_each_source_is_told_with_what_became_of_it() -> None:
    items = [
        Deletion(number, "a", outcome, LATER, size=1)
        for number, outcome in enumerate(DeletionOutcome, 1)
    ]
    rows = view(replace(RUN, trashed=1, cut_off=1), *items).rows
    words = {item.outcome: row.word for item, row in zip(items, rows, strict=True)}
    assert words == {
        "intended": "Cut off",
        "deleted": "Deleted",
        "trashed": "In the trash",
        "kept": "Kept",
        "restored": "Put back",
    }
    assert "or gone" in (rows[0].reason or "")
    assert [row.reason for row in rows[1:]] == [None] * 4
    (emptied,) = view(replace(RUN, trashed=1, purged_at=LATER), items[2]).rows
    assert emptied.word == "Trash emptied"


def test_pages_and_tabs_keep_what_was_looked_for() -> None:
    run = replace(RUN, trashed=30, kept=2)
    shown = view(run, next_cursor="7", deleted_q=" a&b ", deleted_outcome="kept", deleted_from="3")
    assert shown.next_url == "/runs/run-1?deleted_q=a%26b&deleted_outcome=kept&deleted_from=7" + (
        "#deletions"
    )
    assert shown.first_url == "/runs/run-1?deleted_q=a%26b&deleted_outcome=kept#deletions"
    assert shown.everything == "/runs/run-1#deletions"
    assert [(tab.word, tab.count, tab.is_current) for tab in shown.tabs] == [
        ("All", "32", False),
        ("In the trash", "30", False),
        ("Kept", "2", True),
    ]
    assert all("deleted_q=a%26b" in tab.url and "deleted_from" not in tab.url for tab in shown.tabs)
    assert view(replace(RUN, trashed=30)).tabs == ()
