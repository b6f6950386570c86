"""Proves the list of a dry run: bounded, counted in full, and read page by page."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from core.runner import change_list
from core.runner.change_list import ChangeList
from models.errors import FileFailed
from models.planned_change import PREVIEW_NAME, ChangeKind, PlannedChange, change_in
from storage.previews import PreviewFilter, PreviewPage, read_preview
from utils.shown_names import shown_name


def change(name: str | bytes, kind: str = "create", size: int | None = 1) -> PlannedChange:
    """Return a planned change of a name."""
    raw = name if isinstance(name, bytes) else name.encode()
    return PlannedChange(kind, shown_name(raw), raw, size)


def a_list(
    directory: Path, *changes: PlannedChange, destination: Path | None = None
) -> dict[str, int]:
    """Write a list to its end; returns what it counted."""
    listing = ChangeList(str(directory), destination=str(destination) if destination else None)
    listing.begin()
    listing.add(list(changes))
    listing.close()
    assert listing.counts is not None
    return listing.counts.document()


async def every_page(directory: Path, wanted: PreviewFilter, limit: int) -> list[str]:
    """Return the paths of all pages."""
    paths: list[str] = []
    page = PreviewPage(next_cursor=0)
    while page.next_cursor is not None:
        page = await read_preview(directory, wanted, limit=limit, cursor=page.next_cursor)
        assert len(page.items) <= limit
        paths += [item.path for item in page.items]
    assert len(paths) == page.total
    return paths


async def test_every_change_is_found_on_one_page(tmp_path: Path) -> None:
    names = [f"folder/{number:04d}" for number in range(1000)]
    a_list(tmp_path, *map(change, names))
    for limit in (1, 7, 100, 500):
        assert await every_page(tmp_path, PreviewFilter(), limit) == names


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
# The first is shown as an escape, which has the text of another one's escape in it.
@example(names=["\U0003134b".encode()], q="\x03")
@given(
    names=st.lists(st.binary(min_size=1, max_size=12) | st.text(min_size=1).map(str.encode)),
    q=st.text(max_size=3) | st.sampled_from(['"', "\\", '\\"', "ß", "SS", "path", ":", "x", "{"]),
)
async def test_a_search_finds_what_the_shown_paths_have(
    tmp_path: Path, names: list[bytes], q: str
) -> None:
    a_list(tmp_path, *map(change, names))
    shown = [shown_name(name) for name in names]
    found = await every_page(tmp_path, PreviewFilter(q=q), 5)
    assert found == [path for path in shown if q.casefold() in path.casefold()]


async def test_one_kind_alone_is_found(tmp_path: Path) -> None:
    a_list(tmp_path, change("a"), change("b", "delete"), change("c", "update"))
    page = await read_preview(tmp_path, PreviewFilter(ChangeKind.DELETE), limit=10)
    assert [(item.change, item.path, item.size) for item in page.items] == [("delete", "b", 1)]
    assert page.total == 1


async def test_a_list_that_is_not_there_or_damaged_is_read_as_far_as_it_can_be(
    tmp_path: Path,
) -> None:
    assert await read_preview(tmp_path, PreviewFilter(), limit=10) == PreviewPage()
    a_list(tmp_path, change("a"))
    with (tmp_path / PREVIEW_NAME).open("ab") as file:
        file.write(b'{"change":"create",]\n{"change":"create","size":1,"path":"cut')
    page = await read_preview(tmp_path, PreviewFilter(), limit=10)
    assert [item.path for item in page.items] == ["a"]


def test_all_are_counted_and_no_more_are_listed_than_may_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_list, "MAX_LISTED", 100)
    created = [change(f"created-{number}") for number in range(500)]
    deleted = [change(f"deleted-{number}", "delete", 3) for number in range(500)]
    counts = a_list(tmp_path, *created, *deleted)
    assert (counts["created"], counts["created_bytes"]) == (500, 500)
    assert (counts["deleted"], counts["deleted_bytes"]) == (500, 1500)
    lines = (tmp_path / PREVIEW_NAME).read_bytes().splitlines()[1:]
    kinds = [found.change for line in lines if (found := change_in(line))]
    assert counts["listed"] == len(kinds) == 100
    assert kinds.count("delete") == 25, "room is kept for what must not be missed"


def test_the_list_is_no_longer_than_it_may_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_list, "MAX_BYTES", 10_000)
    counts = a_list(tmp_path, *[change("x" * 90) for _ in range(1000)])
    assert counts["created"] == 1000
    assert 0 < counts["listed"] < 100
    assert (tmp_path / PREVIEW_NAME).stat().st_size <= 7_500


@pytest.mark.parametrize("fault", ["short", "full"])
def test_a_full_disk_cuts_the_list_and_not_the_counting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    listing = ChangeList(str(tmp_path), destination=None)
    listing.begin()
    listing.add([change("whole")])
    real = os.write

    def write(descriptor: int, content: bytes) -> int:
        if fault == "full":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, content[:5])

    monkeypatch.setattr(os, "write", write)
    listing.add([change("cut")])
    monkeypatch.undo()
    listing.add([change("later")])
    listing.close()
    assert listing.counts is not None
    assert (listing.counts.document()["created"], listing.counts.listed) == (3, 1)
    lines = (tmp_path / PREVIEW_NAME).read_bytes().splitlines()
    assert [found.path for line in lines if (found := change_in(line))] == ["whole"]


def test_another_attempt_begins_anew(tmp_path: Path) -> None:
    listing = ChangeList(str(tmp_path), destination=None)
    for name in ("first", "second"):
        listing.begin()
        listing.add([change(name)])
    listing.close()
    listing.close()
    assert listing.counts is not None
    assert listing.counts.document()["created"] == 1
    assert b"first" not in (tmp_path / PREVIEW_NAME).read_bytes()
    assert (tmp_path / PREVIEW_NAME).stat().st_mode & 0o777 == 0o600


def test_the_destination_tells_what_the_tool_does_not(tmp_path: Path) -> None:
    there = tmp_path / "there"
    (there / "folder").mkdir(parents=True)
    (there / "file").write_bytes(b"12345")
    (there / "link").symlink_to("nowhere")
    counts = a_list(
        tmp_path,
        change("file", "delete", None),
        change("link", "delete", None),
        change("folder/", "delete", None),
        change("file"),
        change("new", "attributes"),
        change("new folder/", "attributes", None),
        change("folder/", "attributes", None),
        change("new too", "update"),
        change("odd\ufffd", "attributes"),
        destination=there,
    )
    assert (counts["deleted"], counts["deleted_bytes"], counts["deleted_folders"]) == (3, 12, 1)
    assert counts["updated"] == 1
    assert (counts["created"], counts["created_folders"]) == (3, 1)
    assert counts["attributes"] == 2


async def test_a_list_that_cannot_be_read_names_its_file(tmp_path: Path) -> None:
    (tmp_path / PREVIEW_NAME).mkdir()
    with pytest.raises(FileFailed, match=f"{PREVIEW_NAME}: Is a directory") as caught:
        await read_preview(tmp_path, PreviewFilter(), limit=10)
    assert caught.value.where == str(tmp_path / PREVIEW_NAME)
