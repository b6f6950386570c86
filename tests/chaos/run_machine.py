"""Starts, stops, kills and restarts in any order, against a real server and real transfers.

Two of its jobs write to overlapping destinations. Every answer is checked against the contract; at
the end everything comes to rest, and page, YAML, SQLite and `ps` must tell the same.
"""

from __future__ import annotations

import itertools
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.chaos.agreement import last_event, require_agreement
from tests.chaos.run_sightings import sightings
from tests.support import RunningServer, make_large_file, make_tree, wait_until
from utils.process_identity import ProcessIdentity, send_signal

NAMES = ("alone", "outer", "inner")
DESTINATIONS = {"alone": "alone", "outer": "shared", "inner": "shared/inner"}
OVERLAPPING = {"outer", "inner"}
UNDER_WAY = {"queued", "running", "stopping"}
RESUMABLE = {"paused", "interrupted"}
JOBS = st.sampled_from(NAMES)
SECONDS_TO_REST = 90.0
_LONGEST_CUT_SECONDS = 0.05


@dataclass
class Tried:
    """What the machines of a test have tried, to be told, and to be sure that it was tried."""

    counts: Counter[str] = field(default_factory=Counter)
    stories: list[list[str]] = field(default_factory=list)
    """What each machine did; the last one may be the repetition of one that failed."""
    troubles: Iterator[str] = field(
        default_factory=lambda: itertools.cycle(["SIGKILL", "runner", "SIGTERM", "engine"])
    )

    def note(self, what: str, *details: object) -> None:
        """Count it, and take it down."""
        self.counts[what] += 1
        self.stories[-1].append(" ".join([what, *map(str, details)]))


class RunMachine(RuleBasedStateMachine):
    """Three jobs, what was answered about them, and what must be true of them."""

    def __init__(self, server: RunningServer, room: Path, tried: Tried) -> None:
        super().__init__()
        self.server = server
        self.room = room
        self.tried = tried
        self.random = random.Random(1)
        self.runs: dict[str, str] = {}
        """Which job each acknowledged run is of."""
        self.cuts = 0
        self.left_before = self.run_directories()
        tried.stories.append([])
        tried.counts["examples"] += 1
        self.numbers = itertools.count(1)
        self.ids = {name: self.create(name) for name in NAMES}

    # ---- What a person and a machine can do ----------------------------------------------------

    @initialize(names=st.sampled_from([NAMES, ("inner", "outer"), ("outer", "alone")]))
    def begin(self, names: tuple[str, ...]) -> None:
        """So that there is something to stop and to kill from the first step on, and that each kind
        of trouble comes in every series of examples, whatever else is drawn."""
        for name in names:
            self.start(name)
        trouble = next(self.tried.troubles)
        if trouble in {"runner", "engine"}:
            first = next(iter(self.runs))
            wait_until(lambda: self.process_of(first, trouble), what=f"the first {trouble}")
            self.kill_one(trouble, names[0])
        else:
            self.restart_the_server(is_killed=trouble == "SIGKILL", meanwhile="nothing")

    @rule(name=JOBS)
    def start(self, name: str) -> None:
        before = self.status(name)
        answer = self.post(name, "start")
        self.tried.note("start", name, before, answer.status_code)
        self.take_start(name, before, answer)

    @rule(name=JOBS)
    def start_twice_at_once(self, name: str) -> None:
        before = self.status(name)
        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(lambda _: self.post(name, "start"), range(2)))
        codes = sorted(answer.status_code for answer in answers)
        self.tried.note("start twice", name, before, codes)
        assert codes == [202, 409] or (before in UNDER_WAY and codes == [409, 409]), codes
        for answer in answers:
            if answer.status_code == 202:
                self.runs[answer.json()["run_id"]] = name

    @rule(name=JOBS)
    def stop(self, name: str) -> None:
        before = self.state(name)
        answer = self.post(name, "stop")
        after = self.state(name)
        self.tried.note("stop", name, before["status"], answer.status_code)
        assert answer.status_code in {202, 409}, answer.text
        assert after["status"] not in {"queued", "running"}
        if before["status"] not in {"queued", "running"}:
            assert answer.status_code == 409
        run_id = before["run_id"]
        if before["status"] == "queued" and after["run_id"] != run_id:
            assert answer.status_code == 202
            assert self.server.http.get(f"/api/v1/runs/{run_id}").status_code == 404
            self.runs.pop(run_id, None)

    @rule(name=JOBS)
    def discard(self, name: str) -> None:
        before = self.status(name)
        answer = self.post(name, "discard")
        self.tried.note("discard", name, before, answer.status_code)
        if before in RESUMABLE:
            assert answer.status_code == 200, answer.text
            assert self.status(name) == "pending"
        else:
            # What is under way may have ended in between.
            allowed = {200, 409} if before in UNDER_WAY else {409}
            assert answer.status_code in allowed, answer.text

    @rule(name=JOBS, is_outdated=st.booleans())
    def edit(self, name: str, is_outdated: bool) -> None:
        path = f"/api/v1/jobs/{self.ids[name]}"
        job = self.server.http.get(path).json()
        edited = job | {"name": f"{name} {next(self.numbers)}"}
        version = job["version"] - is_outdated
        answer = self.server.http.put(path, json=edited, headers={"If-Match": f'"{version}"'})
        self.tried.note("edit", name, job["state"]["status"], answer.status_code)
        assert answer.status_code == (412 if is_outdated else 200), answer.text
        now = self.server.http.get(path).json()
        assert now["version"] == job["version"] + (not is_outdated)
        assert now["name"] == (job if is_outdated else edited)["name"]

    @rule(name=JOBS)
    def delete(self, name: str) -> None:
        before = self.status(name)
        answer = self.server.http.delete(f"/api/v1/jobs/{self.ids[name]}")
        self.tried.note("delete", name, before, answer.status_code)
        if answer.status_code == 204:
            self.runs = {run: of for run, of in self.runs.items() if of != name}
            self.ids[name] = self.create(name)
        else:
            assert answer.status_code == 409, answer.text
            assert before in UNDER_WAY

    @rule(name=JOBS)
    def wait_for_progress(self, name: str) -> None:
        before = self.state(name)
        if before["status"] not in {"running", "stopping"}:
            return

        def has_moved() -> bool:
            now = self.state(name)
            return now["status"] != before["status"] or _done(now) > _done(before)

        self.tried.note("wait", name, before["status"])
        wait_until(has_moved, seconds=SECONDS_TO_REST, what=f"progress of {name}")

    @rule(is_killed=st.booleans(), meanwhile=st.sampled_from(["nothing", "runner", "engine"]))
    def restart_the_server(self, is_killed: bool, meanwhile: str) -> None:
        how = "SIGKILL" if is_killed else "SIGTERM"
        self.tried.note(f"{how} server", "meanwhile", meanwhile)
        (self.server.kill if is_killed else self.server.terminate)()
        if meanwhile != "nothing":
            self.kill_one(meanwhile, None)
        self.server.start()

    @rule(name=JOBS, verb=st.sampled_from(["start", "stop"]))
    def kill_the_server_in_mid_request(self, name: str, verb: str) -> None:
        known = set(self.runs)
        self.cuts += 1
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(self.post, name, verb)
            time.sleep(self.random.random() * _LONGEST_CUT_SECONDS)  # The fault is its moment.
            self.server.kill()
            try:
                told: object = asked.result().status_code
                if told == 202 and verb == "start":
                    self.runs[asked.result().json()["run_id"]] = name
            except httpx.TransportError as error:
                told = type(error).__name__
        self.tried.note(f"SIGKILL server in {verb}", name, told)
        self.server.start()
        # A withdrawn run may be gone though its answer was never heard.
        for run_id in known if verb == "stop" else ():
            if self.server.http.get(f"/api/v1/runs/{run_id}").status_code == 404:
                assert self.runs.pop(run_id) == name

    @rule(name=JOBS)
    def kill_the_runner(self, name: str) -> None:
        self.kill_one("runner", name)

    @rule(name=JOBS)
    def kill_the_engine_process(self, name: str) -> None:
        self.kill_one("engine", name)

    # ---- What must be true at every moment -----------------------------------------------------

    @invariant()
    def nothing_runs_twice(self) -> None:
        living = sightings(self.server.data_dir)
        jobs = {run_id: self.job_of(run_id) for run_id in {one.run_id for one in living}}
        runs_of: dict[str, set[str]] = {}
        for run_id, name in jobs.items():
            runs_of.setdefault("shared" if name in OVERLAPPING else name, set()).add(run_id)
        assert all(len(runs) == 1 for runs in runs_of.values()), [
            (one.run_id, jobs[one.run_id], one.process.pid, one.command) for one in living
        ]
        for run_id in jobs:
            own = [one for one in living if one.run_id == run_id]
            assert sum(one.is_transfer for one in own) <= 1, [one.command for one in own]
        self.tried.counts["looks at ps"] += 1
        self.tried.counts["runs seen in ps"] += len(jobs)

    @invariant()
    def what_overlaps_is_not_under_way_at_once(self) -> None:
        jobs = {job["id"]: job["state"]["status"] for job in self.server.jobs()}
        active = [name for name in OVERLAPPING if jobs[self.ids[name]] in {"running", "stopping"}]
        assert len(active) <= 1, jobs

    def teardown(self) -> None:
        """Let everything come to rest, compare what tells of it, and leave nothing."""
        if self.server.process is None:
            self.server.start()
        for name in NAMES[1:]:
            self.stop(name)
        wait_until(
            lambda: not {self.status(name) for name in NAMES} & UNDER_WAY,
            seconds=SECONDS_TO_REST,
            what="rest",
        )
        self.tried.note("rest", {name: self.status(name) for name in NAMES})
        assert sightings(self.server.data_dir) == [], "not everything is at rest"
        for name in NAMES:
            acknowledged = {run_id for run_id, of in self.runs.items() if of == name}
            compared = require_agreement(self.server, self.ids[name], acknowledged)
            self.tried.counts["runs compared"] += compared
        for name in NAMES:
            assert self.server.http.delete(f"/api/v1/jobs/{self.ids[name]}").status_code == 204
        # Of a command that was cut off a directory may be left, for the next tidying.
        left = self.run_directories() - self.left_before
        assert len(left) <= self.cuts, left

    # ---- Helpers -------------------------------------------------------------------------------

    def create(self, name: str) -> str:
        """Create a job, with a source that takes it some seconds."""
        source = self.room / "from" / name
        if not source.exists():
            make_tree(source / "small", files=20)
            make_large_file(source / "large.bin", megabytes=1)
        return self.server.create_job(
            source,
            self.room / "to" / str(self.tried.counts["examples"]) / DESTINATIONS[name],
            name=name,
            options={"bandwidth_limit": "400K"},
            verification="checksum",
            retry={"max_attempts": 3, "first_delay_seconds": 0.2, "max_delay_seconds": 0.5},
        )

    def post(self, name: str, verb: str) -> httpx.Response:
        """Send a command."""
        return self.server.http.post(f"/api/v1/jobs/{self.ids[name]}/{verb}")

    def state(self, name: str) -> dict[str, Any]:
        """Return a job's state through the API."""
        return self.server.state(self.ids[name])

    def status(self, name: str) -> str:
        """Return a job's status through the API."""
        return str(self.state(name)["status"])

    def job_of(self, run_id: str) -> str:
        """Return which job a run is of; the server may have been killed before it told."""
        if run_id not in self.runs:
            job_id = self.server.run(run_id)["job_id"]
            (self.runs[run_id],) = [name for name in NAMES if self.ids[name] == job_id]
        return self.runs[run_id]

    def take_start(self, name: str, before: str, answer: httpx.Response) -> None:
        """Check the answer to a start, and take note of the run."""
        if answer.status_code == 202:
            run_id = answer.json()["run_id"]
            assert run_id not in self.runs
            self.runs[run_id] = name
        else:
            assert answer.status_code == 409, answer.text
            assert before in UNDER_WAY, f"{before}: {answer.text}"

    def kill_one(self, kind: str, name: str | None) -> None:
        """Kill the runner, or the engine process with its group, of the newest run that has one."""
        for run_id in reversed(self.runs):
            if name not in (None, self.runs[run_id]):
                continue
            who = self.process_of(run_id, kind)
            if who and send_signal(who, signal.SIGKILL, to_group=kind == "engine"):
                self.tried.note(f"SIGKILL {kind}", self.runs[run_id])
                return

    def process_of(self, run_id: str, kind: str) -> ProcessIdentity | None:
        """Return who a run's runner or last engine process is, as its journal tells."""
        event = {"runner": "run_started", "engine": "engine_started"}[kind]
        found = last_event(self.server, run_id, event)
        return ProcessIdentity(**found[kind]) if found else None

    def run_directories(self) -> set[str]:
        """Return whose directories there are."""
        return {path.name for path in self.server.data_dir.glob("runs/*")}


def _done(state: dict[str, Any]) -> int:
    return int(state["progress"]["bytes_done"]) if state["progress"] else -1
