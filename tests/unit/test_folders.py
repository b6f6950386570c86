"""Proves what the folder browser lists, and that any typed text leads to some folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastapi_app import folders
from fastapi_app.folders import MAX_ENTRIES, FolderView, folder_within, view_folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with folders, files and names that no definition can hold."""
    for name in ("b", "A", ".hidden", "grüße 🚢", "-x"):
        (tmp_path / name).mkdir()
    (tmp_path / "file.txt").write_bytes(b"x")
    (tmp_path / "new\nline").mkdir()
    os.mkdir(os.fsencode(tmp_path) + b"/latin\xff")
    (tmp_path / "link").symlink_to("b")
    (tmp_path / "broken").symlink_to("nowhere")
    (tmp_path / "circle").symlink_to("circle")
    return tmp_path


def names(view: FolderView) -> list[str]:
    """Return what is listed, in its order."""
    return [entry.name for entry in view.entries]


def test_folders_in_the_order_of_their_names(root: Path) -> None:
    view = view_folder("destination", str(root))
    assert names(view) == ["-x", ".hidden", "A", "b", "grüße 🚢", "link"]
    assert (view.path, view.parent) == (str(root), str(root.parent))
    assert (view.error, view.truncated) == (None, False)
    assert view.entries[0].path == f"{root}/-x"


def test_files_are_listed_after_them_where_one_can_be_chosen(root: Path) -> None:
    view = view_folder("source", str(root))
    first = names(view_folder("destination", str(root)))
    assert names(view) == [*first, "broken", "circle", "file.txt"]
    assert [entry.is_folder for entry in view.entries] == [True] * len(first) + [False] * 3


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("{root}/b/", "{root}/b"),
        ("{root}//b", "{root}/b"),
        ("{root}/b/../A", "{root}/A"),
        ("{root}/b/missing/deeper", "{root}/b"),
        ("{root}/file.txt", "{root}"),
        ("{root}/broken/x", "{root}"),
        ("/", "/"),
        ("//", "/"),
        ("/..", "/"),
        ("", "/"),
        ("relative", "/"),
        ("~", "/"),
        ("host:path", "/"),
        ("{root}\0/b", "/"),
    ],
)
def test_the_nearest_folder_is_shown(root: Path, typed: str, shown: str) -> None:
    assert view_folder("source", typed.format(root=root)).path == shown.format(root=root)


def test_the_top_has_no_parent() -> None:
    assert view_folder("source", "/").parent is None


def test_a_large_folder_is_cut_and_says_so(tmp_path: Path) -> None:
    for number in range(MAX_ENTRIES + 1):
        (tmp_path / f"{number:04d}").mkdir()
    view = view_folder("source", str(tmp_path))
    assert (len(view.entries), view.truncated) == (MAX_ENTRIES, True)
    (tmp_path / "0000").rmdir()
    assert view_folder("source", str(tmp_path)).truncated is False


def test_of_a_large_folder_those_are_listed_that_begin_as_was_typed(tmp_path: Path) -> None:
    for number in range(MAX_ENTRIES + 1):
        (tmp_path / f"a{number:04d}").mkdir()
    (tmp_path / "Zebra").mkdir()
    view = view_folder("source", f"{tmp_path}/ze")
    assert (view.path, names(view), view.beginning) == (str(tmp_path), ["Zebra"], "ze")
    assert view.truncated is False
    nobody = view_folder("source", f"{tmp_path}/nobody")
    assert (len(nobody.entries), nobody.beginning, nobody.truncated) == (MAX_ENTRIES, "", True)


def test_names_and_links_are_looked_at_within_bounds(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        (root / f"a link {number}").symlink_to("b")
    monkeypatch.setattr(folders, "MOST_LINKS", 2)
    view = view_folder("destination", str(root))
    assert [name for name in names(view) if "link" in name] == ["a link 0", "a link 1"]
    assert view.truncated is True
    monkeypatch.setattr(folders, "MOST_LOOKED_AT", 3)
    assert view_folder("source", str(root)).truncated is True


def test_each_allowed_folder_is_looked_at_once_however_many_links_there_are(root: Path) -> None:
    for number in range(100):
        (root / "b" / f"{number}").symlink_to(root / "A")
    (root / "other").symlink_to(root / "A")
    touched: list[str] = []
    view = folder_within("source", f"{root}/b", (f"{root}/b", f"{root}/other"), touched.append)
    assert view is not None
    assert len(view.entries) == 100
    assert touched.count(f"{root}/other") == 1


def test_a_link_onto_another_disk_is_not_followed_only_to_list_it(root: Path) -> None:
    (root / "b" / "elsewhere").symlink_to("/proc/version")
    assert names(view_folder("destination", f"{root}/b")) == ["elsewhere"]
    assert names(view_folder("destination", f"{root}/b", (f"{root}/b", "/proc"))) == ["elsewhere"]
    assert names(view_folder("destination", f"{root}/b", (f"{root}/b",))) == []
    # Once it is opened it is looked at.
    assert view_folder("destination", f"{root}/b/elsewhere").path == f"{root}/b"


def test_a_folder_that_cannot_be_read_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    view = view_folder("source", str(tmp_path))
    assert (view.entries, view.error) == ((), "Cannot be read: Permission denied.")


def test_within_allowed_folders_it_goes_up_to_these_and_no_further(root: Path) -> None:
    roots = (f"{root}/A", f"{root}/b", f"{root}/gone")
    top = view_folder("source", f"{root}/A/missing", roots)
    assert (top.path, top.parent) == (f"{root}/A", "")
    above = view_folder("source", "", roots)
    assert (above.path, above.parent, above.error) == ("", None, None)
    assert [entry.path for entry in above.entries] == [f"{root}/A", f"{root}/b"]
    (root / "b" / "inner").mkdir()
    assert view_folder("source", f"{root}/b/inner", roots).parent == f"{root}/b"


def test_links_that_lead_out_are_not_listed(root: Path) -> None:
    (root / "b" / "in").mkdir()
    (root / "b" / "to in").symlink_to("in")
    (root / "b" / "out").symlink_to(root / "A")
    assert names(view_folder("source", f"{root}/b", (f"{root}/b",))) == ["in", "to in"]


def test_a_folder_that_becomes_a_link_while_it_is_opened_tells_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = root / "b" / "inner"
    inner.mkdir()
    really_open = os.open

    def swap(path: str, flags: int) -> int:
        inner.rmdir()
        inner.symlink_to(root)
        return really_open(path, flags)

    monkeypatch.setattr(os, "open", swap)
    view = view_folder("source", str(inner), (f"{root}/b",))
    assert (view.path, names(view)) == ("", [f"{root}/b"])


def test_of_a_folder_outside_not_even_a_refusal_is_told(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str, _: int) -> int:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "open", refuse)
    assert view_folder("source", f"{root}/A", (f"{root}/b",)).error is None
    assert view_folder("source", f"{root}/b", (f"{root}/b",)).error is not None


def test_without_any_allowed_folder_to_see_it_says_why(root: Path) -> None:
    gone = view_folder("source", "/", (f"{root}/gone",))
    assert (gone.entries, gone.error) == (
        (),
        f"None of the allowed folders is there now: {root}/gone.",
    )
    unknown = view_folder("source", str(root), None)
    assert (unknown.path, unknown.entries) == ("", ())
    assert "nobody knows which folders are allowed" in (unknown.error or "")


@given(typed=st.text(max_size=40) | st.text(max_size=5000).map("/".__add__))
def test_any_text_leads_somewhere(typed: str) -> None:
    assert os.path.isdir(view_folder("destination", typed).path)
