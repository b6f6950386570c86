"""Proves what is read out of the dry runs of both tools, whatever bytes they print.

The transcripts are those of rsync 3.2.7 and rclone 1.75.2; what real runs then do is compared in
`tests/integration/test_dry_run.py`.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.engines.preview import PreviewReader
from core.engines.previews import PREVIEWS
from core.engines.registry import ENGINES
from models.planned_change import PlannedChange
from tests.fakes.builders import a_spec

RSYNC = rb"""created directory /mnt/nas/photos
	cd+++++++++ 4096 0 ./
	.d..t...... 4096 0 old/
	.d          4096 0 same/
	*deleting   0 0 typ/q
	*deleting   0 0 gone/
	>f+++++++++ 5 0 new
	>f..t...... 7 0 time
	<f.st...... 8 0 size
	cLc........ 3 0 link
	cL+++++++++ 3 0 new link
	hf+++++++++ 9 0 second name
	.f          10 0 same
	.f...p..... 11 0 mode
	.L..t...... 3 0 old link
	>f+++++++++ 2 0 \#377\#376
	>f+++++++++ 1 0 new\#012line
"""
RSYNC_CHANGES = [
    ("create", "./", None),
    ("attributes", "old/", None),
    ("delete", "typ/q", None),
    ("delete", "gone/", None),
    ("create", "new", 5),
    ("update", "time", 7),
    ("update", "size", 8),
    ("update", "link", 3),
    ("create", "new link", 3),
    ("create", "second name", 9),
    ("attributes", "mode", 11),
    ("attributes", "old link", 3),
    ("create", "\\xff\\xfe", 2),
    ("create", "new\\nline", 1),
]


def reader_of(engine: str, **fields: Any) -> PreviewReader:
    """Return a fresh reader."""
    return PREVIEWS[engine].reader(ENGINES[engine], a_spec(engine=engine, **fields))


def told(changes: list[PlannedChange]) -> list[tuple[str, str, int | None]]:
    """Return changes as they are shown."""
    return [(change.kind, change.path, change.size) for change in changes]


def skipped(what: str, name: str, size: int | None = None) -> bytes:
    """Return a line of rclone's log."""
    document = {
        "level": "notice",
        "msg": f"Skipped {what} as --dry-run is set",
        "skipped": what,
        "object": name,
        "objectType": "string" if size is None else "*local.Object",
    }
    if size is not None:
        document["size"] = size  # type: ignore[assignment]
    return json.dumps(document).encode()


def test_every_engine_has_a_dry_run() -> None:
    assert set(PREVIEWS) == set(ENGINES)


@pytest.mark.parametrize("engine", sorted(ENGINES))
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"delete_extraneous": True, "max_delete": 3},
        {"exclude": ("*.tmp",), "include": ("a.tmp",), "extra_args": ("--size-only",)},
        {"keep_replaced_in": ".longshore-kept/now", "bandwidth_limit": 4096, "resume": True},
    ],
)
def test_the_arguments_are_those_of_the_transfer_and_none_less(
    engine: str, fields: dict[str, Any]
) -> None:
    spec = a_spec(engine=engine, **fields)
    transfer = ENGINES[engine].build_argv(spec, "/tool", is_directory=True, lists_at_once=True)
    preview = PREVIEWS[engine].build_argv(
        ENGINES[engine], spec, "/tool", is_directory=True, lists_at_once=True
    )
    added = {"--dry-run", "--combined=-"} if engine == "rclone" else {"--dry-run"}
    assert [one for one in preview if one not in added] == transfer
    assert added <= set(preview[: preview.index("--")])


def test_rsync_tells_of_every_kind_of_change() -> None:
    reader = reader_of("rsync", destination="/mnt/nas/photos")
    batch = reader.feed(RSYNC.splitlines())
    assert told(batch.changes) == RSYNC_CHANGES
    assert batch.changes[-2].name == b"\xff\xfe"
    assert batch.changes[-1].name == b"new\nline"
    assert batch.rest.log == [b"created directory /mnt/nas/photos"]
    assert reader.reading.files_finished == 11, "neither folders nor what is deleted"
    assert reader.reading.bytes_done == 0
    assert reader.close() == []


def test_rsync_tells_of_what_it_cannot_read() -> None:
    lines = [b'rsync: [sender] opendir "/srv/photos/locked" failed: Permission denied (13)']
    batch = reader_of("rsync").feed(lines)
    assert batch.changes == []
    assert [failure.path.rpartition("/")[2] for failure in batch.rest.failures] == ["locked"]


RCLONE = [
    skipped("update directory metadata", "sub"),
    skipped("make directory", "new folder"),
    b"+ new",
    b"- extra",
    b"= same",
    skipped("copy", "new", 4),
    skipped("copy", "changed", 5),
    b"* changed",
    b"= attr",
    skipped("update modification time", "attr", 6),
    skipped("move", "replaced", 7),
    b"* replaced",
    skipped("copy", "replaced", 8),
    b"+ link.rclonelink",
    skipped("copy", "link.rclonelink", 3),
    skipped("delete", "extra", 9),
    skipped("move into backup dir", "kept", 10),
    skipped("remove directory", "gone"),
    skipped("update directory metadata", "sub"),
    skipped("set directory modification time", "new folder"),
    "+ new␊line".encode(),
    skipped("copy", "new␊line", 1),
    b"+ odd\xff",
    skipped("copy", "odd�", 2),
    b"- left\xfe",
    skipped("delete", "left�", 3),
]
RCLONE_CHANGES = [
    ("attributes", "sub/", None),
    ("create", "new folder/", None),
    ("create", "new", 4),
    ("update", "changed", 5),
    ("attributes", "attr", 6),
    ("update", "replaced", 8),
    ("create", "link", 3),
    ("delete", "extra", 9),
    ("delete", "kept", 10),
    ("delete", "gone/", None),
    ("create", "new\\nline", 1),
    ("create", "odd\\xff", 2),
    ("delete", "left\\xfe", 3),
]


def test_rclone_tells_of_every_kind_of_change_in_two_ways_at_once() -> None:
    reader = reader_of("rclone")
    batch = reader.feed(RCLONE)
    assert told(batch.changes) == RCLONE_CHANGES
    assert batch.changes[-2].name == b"odd\xff"
    assert reader.close() == []
    assert reader.reading.files_finished == 8


def test_rclone_joins_report_and_log_however_far_one_is_ahead() -> None:
    report = [line for line in RCLONE if not line.startswith(b"{")]
    log = [line for line in RCLONE if line.startswith(b"{")]
    for lines in ([*report, *log], [*log, *report]):
        reader = reader_of("rclone")
        changes = [change for line in lines for change in reader.feed([line]).changes]
        kinds = {change.path: change.kind for change in changes}
        assert kinds["changed"] == kinds["replaced"] == "update"
        assert kinds["new"] == kinds["link"] == "create"
        assert kinds["left\\xfe"] == "delete", "by its bytes, also where the log is ahead"
        assert len(changes) == len(RCLONE_CHANGES)


def test_a_copy_that_no_report_tells_of_is_a_new_file() -> None:
    reader = reader_of("rclone")
    assert reader.feed([skipped("copy", "alone", 4)]).changes == []
    assert told(reader.close()) == [("create", "alone", 4)]
    assert reader.close() == []


def test_a_deletion_whose_bytes_no_report_tells_is_told_as_the_log_has_it() -> None:
    reader = reader_of("rclone")
    assert reader.feed([skipped("delete", "alone�", 4)]).changes == []
    assert told(reader.close()) == [("delete", "alone�", 4)]
    assert reader.close() == []


def test_rclone_names_the_top_folder_by_its_location() -> None:
    line = json.loads(skipped("update directory metadata", "Local file system at /mnt/nas"))
    batch = reader_of("rclone").feed([json.dumps(line | {"objectType": "*local.Fs"}).encode()])
    assert told(batch.changes) == [("attributes", "./", None)]


def test_on_a_remote_a_link_is_a_file() -> None:
    reader = reader_of("rclone", destination="rclone://nas/photos")
    batch = reader.feed([b"+ link.rclonelink", skipped("copy", "link.rclonelink", 3)])
    assert told(batch.changes) == [("create", "link.rclonelink", 3)]


def test_what_is_told_by_one_way_only_is_bounded() -> None:
    reader = reader_of("rclone")
    for number in range(50_000):
        reader.feed([b"+ reported %d" % number, skipped("copy", f"copied {number}", 1)])
        reader.feed([b"- reported \xff%d" % number, skipped("delete", f"deleted � {number}", 1)])
    held = [value for value in vars(reader).values() if isinstance(value, (dict, set))]
    assert all(len(each) <= 20_000 for each in held)


@pytest.mark.parametrize("engine", sorted(ENGINES))
@given(lines=st.lists(st.binary(max_size=200), max_size=20))
def test_no_bytes_raise(engine: str, lines: list[bytes]) -> None:
    reader = reader_of(engine)
    samples = RSYNC.splitlines() if engine == "rsync" else RCLONE
    mixed = [*lines, *(a + b for a, b in zip(samples, lines, strict=False))]
    for line in mixed:
        for change in [*reader.feed([line]).changes, *reader.close()]:
            assert change.path.isprintable()
