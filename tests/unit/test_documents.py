"""Proves that specs and journal events come back from their documents, and damaged ones do not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import events
from models.errors import InvalidDocument
from models.progress import Progress
from models.run_spec import RunSpec
from tests.fakes.builders import a_spec
from utils.process_identity import ProcessIdentity

TEXTS = st.text(max_size=30)
COUNTS = st.integers(min_value=0, max_value=2**62)
PROGRESS = st.builds(
    Progress,
    phase=TEXTS,
    attempt=COUNTS,
    bytes_done=COUNTS,
    bytes_total=st.none() | COUNTS,
    bytes_sent=COUNTS,
    files_done=COUNTS,
    percent=st.none() | st.floats(min_value=0, max_value=100),
    current_file=st.none() | TEXTS,
)
IDENTITIES = st.builds(ProcessIdentity, pid=COUNTS, start_ticks=COUNTS, boot_id=TEXTS)
DELAYS = st.floats(min_value=0, max_value=1e6)
EVENTS: dict[str, st.SearchStrategy[events.Event]] = {
    "run_started": st.builds(events.RunStarted, runner=IDENTITIES),
    "phase_started": st.builds(events.PhaseStarted, name=TEXTS, attempt=COUNTS),
    "phase_ended": st.builds(events.PhaseEnded, TEXTS, TEXTS, st.none() | TEXTS),
    "engine_started": st.builds(events.EngineStarted, engine=IDENTITIES, attempt=COUNTS),
    "progress": st.builds(events.ProgressMade, progress=PROGRESS),
    "file_failed": st.builds(events.FileFailed, TEXTS, TEXTS, COUNTS),
    "retry_scheduled": st.builds(events.RetryScheduled, COUNTS, COUNTS, DELAYS, TEXTS),
    "run_ended": st.builds(
        events.RunEnded,
        outcome=TEXTS,
        attempts=COUNTS,
        exit_code=st.none() | st.integers(),
        message=st.none() | TEXTS,
        files_failed=COUNTS,
        files_deleted=COUNTS,
        progress=PROGRESS,
    ),
}


def as_read(document: dict[str, Any]) -> Any:
    """Return a document as it comes back from a file."""
    return json.loads(json.dumps(document))


@given(event=st.one_of(list(EVENTS.values())), time=TEXTS)
def test_an_event_comes_back(event: events.Event, time: str) -> None:
    line = events.from_document(as_read(events.to_document(event, time)))
    assert line == events.JournalLine(time, event)
    assert line is not None
    assert type(line.event) is type(event)


@pytest.mark.parametrize("kind", list(EVENTS))
def test_every_kind_is_written_under_its_name(kind: str) -> None:
    written: set[str] = set()

    @given(event=EVENTS[kind])
    def look(event: events.Event) -> None:
        written.add(events.to_document(event, "t")["event"])

    look()
    assert written == {kind}


def test_a_kind_of_a_newer_version_is_passed_over() -> None:
    assert events.from_document({"t": "now", "event": "paused_for_tea", "cups": 2}) is None
    assert events.from_document({}) is None


def test_fields_of_a_newer_version_are_passed_over() -> None:
    document = as_read(events.to_document(events.ProgressMade(Progress(bytes_done=7)), "now"))
    document["mood"] = "good"
    document["progress"]["colour"] = "blue"
    assert events.from_document(document) == events.JournalLine(
        "now", events.ProgressMade(Progress(bytes_done=7))
    )


@pytest.mark.parametrize("document", [None, 3, "text", [], [{"event": "progress"}]])
def test_a_line_that_is_no_object_is_refused(document: object) -> None:
    with pytest.raises(InvalidDocument, match="not a JSON object"):
        events.from_document(document)


@pytest.mark.parametrize(
    "document",
    [
        {"event": "progress"},
        {"event": "progress", "progress": None},
        {"event": "progress", "progress": 5},
        {"event": "progress", "progress": [1]},
        {"event": "run_started", "runner": "me"},
        {"event": "run_started", "runner": {"pid": 1}},
        {"event": "phase_ended", "name": "transfer"},
        {"event": "run_ended", "outcome": "completed"},
    ],
)
def test_a_known_kind_that_lacks_what_it_needs_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(InvalidDocument, match=f"journal: {document['event']}: "):
        events.from_document(document)


def test_a_spec_comes_back() -> None:
    spec = a_spec(
        exclude=("*.tmp", "--delete"),
        include=("keep/***",),
        bandwidth_limit=4096,
        delete_extraneous=True,
        max_delete=0,
        verification="checksum",
        resume=True,
        max_attempts=2,
        first_delay_seconds=0.5,
        tool_path=None,
    )
    read = RunSpec.from_document(as_read(spec.to_document()))
    assert read == spec
    assert spec.to_document()["format"] == 1
    given_fields = set(RunSpec._fields)
    assert given_fields < set(spec.to_document())


def test_keys_of_a_newer_spec_are_passed_over() -> None:
    document = as_read(a_spec().to_document()) | {"format": 2, "surprise": [1]}
    assert RunSpec.from_document(document) == a_spec()


@pytest.mark.parametrize("key", ["run_id", "job_id", "engine", "tool_path", "source"])
def test_a_spec_without_a_key_is_refused_by_its_name(key: str) -> None:
    document = a_spec().to_document()
    del document[key]
    with pytest.raises(InvalidDocument, match=key):
        RunSpec.from_document(document)


@pytest.mark.parametrize("document", [None, [], "text", 1])
def test_a_spec_that_is_no_object_is_refused(document: object) -> None:
    with pytest.raises(InvalidDocument, match="not a JSON object"):
        RunSpec.from_document(document)
