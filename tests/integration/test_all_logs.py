"""The page over the logs of all runs: what it finds, in which order, and what it exports."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import RunningServer


@pytest.fixture
def logs(make_server: Callable[..., RunningServer], rsync: str, tmp_path: Path) -> RunningServer:
    """A server with three ended runs, whose logs are known."""
    server = make_server()
    (tmp_path / "from").mkdir()
    (tmp_path / "from" / "one").write_text("1")
    for name in ("Photos <b>", "Music", "Photos again"):
        job_id = server.create_job(tmp_path / "from", tmp_path / name, name=name)
        run_id = server.start_job(job_id)
        server.wait_for_end(run_id)
        log = server.data_dir / "runs" / run_id / "engine.log"
        lines = [f"rsync: failed to open {name} {n}: No (13)" for n in range(12)]
        if name == "Music":
            lines = [">f+++ quiet.flac", 'skipping non-regular file "pipe"']
        log.write_text("\n".join([">f+++++++++ 1 2 one", *lines]) + "\n")
    return server


def _groups(text: str) -> list[tuple[str, list[str]]]:
    """Return the names of the jobs on the page, with the lines beneath each."""
    found = []
    for part in text.split('class="section log-group"')[1:]:
        name = re.search(r'href="/jobs/[^"]+">([^<]+)</a>', part)
        assert name is not None
        lines = re.findall(r'class="log-line[^>]*>(.*?)</span>', part, re.DOTALL)
        found.append((name[1], [re.sub(r"</?mark>", "", line).strip() for line in lines]))
    return found


def test_warnings_and_errors_of_the_newest_runs_come_first(logs: RunningServer) -> None:
    groups = _groups(logs.http.get("/logs").text)
    assert [name for name, _ in groups] == ["Photos again", "Music", "Photos &lt;b&gt;"]
    last = [f"rsync: failed to open Photos again {n}: No (13)" for n in range(2, 12)]
    assert groups[0][1] == last
    assert groups[1][1] == ["skipping non-regular file &#34;pipe&#34;"]
    assert "The last of more lines" in logs.http.get("/logs").text


def test_lines_are_found_by_level_words_and_job(logs: RunningServer) -> None:
    def found(**query: str) -> list[str]:
        return [name for name, _ in _groups(logs.http.get("/logs", params=query).text)]

    assert found(level="error") == ["Photos again", "Photos &lt;b&gt;"]
    assert found(level="error", q="PHOTOS AGAIN 3") == ["Photos again"]
    assert found(level="all", q="QUIET") == ["Music"]
    assert found(level="all") == ["Photos again", "Music", "Photos &lt;b&gt;"]
    assert found(job="photos") == ["Photos again", "Photos &lt;b&gt;"]
    assert found(q="nothing like it") == []
    assert "No line matches" in logs.http.get("/logs?q=nothing").text
    assert logs.http.get("/logs?level=loud").status_code == 422


def test_what_is_found_is_exported_whole(logs: RunningServer) -> None:
    answer = logs.http.get("/logs/download?level=error&q=failed")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert "attachment" in answer.headers["content-disposition"]
    lines = answer.text.splitlines()
    assert sum(line.startswith("rsync: failed to open") for line in lines) == 24
    headings = [line for line in lines if line.startswith("== ")]
    assert [heading.partition(":")[0] for heading in headings] == [
        "== Photos again",
        "== Photos <b>",
    ]
    assert not any("quiet" in line or ">f+" in line for line in lines)


def test_a_page_that_has_found_enough_goes_on_where_it_was(
    make_server: Callable[..., RunningServer], rsync: str, tmp_path: Path
) -> None:
    server = make_server()
    (tmp_path / "from").mkdir()
    job_id = server.create_job(tmp_path / "from", tmp_path / "to", name="Often")
    runs = []
    for _ in range(23):
        runs.append(server.start_job(job_id))
        server.wait_for_end(runs[-1])
        (server.data_dir / "runs" / runs[-1] / "engine.log").write_text("rsync: no\n")
    first = server.http.get("/logs")
    shown = re.findall(r'id="log-of-([^"]+)" ', first.text)
    assert shown == runs[::-1][:20]
    link = re.search(r'class="button" href="([^"]+)" rel="next"', first.text)
    assert link is not None
    second = server.http.get(link[1].replace("&amp;", "&"))
    assert re.findall(r'id="log-of-([^"]+)" ', second.text) == runs[::-1][20:]
    assert 'rel="next"' not in second.text
