"""Proves that nothing a person, a file or a tree says is taken for a command, option or place.

Two hundred values in every field of the API and the form, in job files edited by hand, in
addresses, in file names and in the names of remotes; jobs that are accepted are started for real.
After each test all around the destinations and the data directory must be as it was.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from itertools import chain
from pathlib import Path
from pkgutil import iter_modules
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel

from fastapi_app import routers
from fastapi_app.job_form import NEW_JOB
from fastapi_app.limits import MAX_BODY
from fastapi_app.location_fields import KINDS, LOCATIONS, LocationFields
from models.job import JobDefinition
from models.run_spec import TRASH_FOLDER
from tests.conftest import MEMORY
from tests.integration.hostile import COUNT, Traps, hostile_values, picture, set_traps
from tests.integration.pages import Page
from tests.integration.running import ended_server, run_to_end, wait_for_status
from tests.integration.trees import differences_beneath, listing
from tests.support import ENDED, PROJECT_ROOT, RunningServer, make_tree, wait_until

IS_FULL = os.environ.get("LONGSHORE_CHAOS") == "full"
pytestmark = [
    pytest.mark.integration,
    pytest.mark.usefixtures("rsync"),
    pytest.mark.timeout(7200 if IS_FULL else 600),
]
ENGINES = ("rsync", "rclone")
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
MARKUP = ("<img src=x", "<script>t", "<script>/", "<script>sh", "<svg/on", '" onfocus=')
"""Parts of the values that would be live in a page that shows them as they are."""
NAMED_ONLY = ("<summary aria-label='More for ", "<input value=", "<option value=", "<span title=")
"""Attributes that are shown or read aloud, and lead nowhere."""
AT_ONCE = 24
"""So many jobs are started and looked at together."""
LONGEST_NAME = 255
LONGEST_IN_ADDRESS = 6000
"""httptools refuses longer addresses by itself, before any of ours is asked."""


@dataclass
class Arena:
    """A server amid traps, with everything around it on record."""

    top: Path
    traps: Traps
    server: RunningServer
    before: dict[str, tuple[int, int, int, str]] = field(default_factory=dict)

    @property
    def canary(self) -> Path:
        """What no command may make."""
        return self.top / "canary"

    @property
    def values(self) -> tuple[str, ...]:
        """The hostile values."""
        return hostile_values(self.canary)

    @property
    def may_change(self) -> tuple[Path, ...]:
        """The destinations and the data directory."""
        return (self.top / "to", self.server.data_dir, self.traps.folder)

    def good(self, engine: str = "rsync", place: str = "here") -> dict[str, Any]:
        """Return a definition that is accepted as it is."""
        return {
            "name": "Good",
            "engine": engine,
            "source": str(self.top / "from"),
            "destination": str(self.top / "to" / place),
            "retry": {"max_attempts": 1},
        }

    def check(self) -> None:
        """Fail when anything was started, made or changed, or when the server met a defect."""
        assert self.traps.caught() == []
        for call in self.traps.ssh_calls():
            if call == ["-V"]:  # /health tells which version there is.
                continue
            assert host_of(call) == "host", call
        places = {Path.cwd(), PROJECT_ROOT, Path("/"), Path.home(), Path(tempfile.gettempdir())}
        assert [place for place in places if (place / "canary").exists()] == []
        assert picture(self.top, without=self.may_change) == self.before
        log = (self.server.data_dir / "logs" / "longshore.log").read_text(errors="replace")
        assert "Traceback" not in log, log[log.index("Traceback") - 2000 :][:6000]


def host_of(call: list[str]) -> str:
    """Return the host that ssh was called for; no option may say what else to run."""
    told = [word for word in call if "ProxyCommand" in word or "LocalCommand" in word]
    assert set(told) <= {"-oPermitLocalCommand=no", "-oProxyCommand=none"}, call
    words = list(call)
    while words[0].startswith("-"):
        word = words.pop(0)
        if word == "--":
            break
        if word in {"-p", "-i", "-l", "-o", "-F"}:
            words.pop(0)
    return words[0].rpartition("@")[2]


@pytest.fixture(scope="module")
def arena() -> Iterator[Arena]:
    """One arena for the module: a test adds jobs and runs, and nothing else."""
    base = MEMORY if os.access(MEMORY, os.W_OK) else None
    top = Path(tempfile.mkdtemp(prefix="longshore-test-", dir=base))
    try:
        yield from _arena(top)
    finally:
        shutil.rmtree(top)


def _arena(top: Path) -> Iterator[Arena]:
    traps = set_traps(top)
    make_tree(top / "from", files=3)
    make_tree(top / "outside", files=3, seed=2)
    (top / "to").mkdir()
    server = RunningServer(top / "data", LONGSHORE_MAX_CONCURRENT_RUNS="6")
    arena = Arena(top, traps, server)
    _make_home(arena)
    server.environment |= {
        "PATH": traps.path,
        "HOME": str(top / "home"),
        "RSYNC_RSH": f"touch {arena.canary}",
        "RSYNC_PROXY": "localhost:1",
        "RCLONE_PASSWORD_COMMAND": f"touch {arena.canary}",
        "RCLONE_LOG_FILE": str(arena.canary),
    }
    server.environment.pop("XDG_CONFIG_HOME", None)
    with ended_server(server):
        yield arena


def _make_home(arena: Arena) -> None:
    """Make a home with an rclone configuration whose remotes have hostile names."""
    home = arena.top / "home" / ".config" / "rclone"
    home.mkdir(parents=True)
    names = [value for value in arena.values if value.isprintable() and value.strip()]
    short = [name for name in names if "]" not in name and len(name) < LONGEST_NAME]
    sections = [f"[{name}]\ntype = local\n" for name in ("here", *short)]
    (home / "rclone.conf").write_text("\n".join(sections), encoding="utf-8")


@pytest.fixture(autouse=True)
def nothing_around_changes(arena: Arena) -> Iterator[None]:
    """No test of this module may start or change anything that is not its job's."""
    arena.before = picture(arena.top, without=arena.may_change)
    yield
    arena.check()


def fields_of(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, bool]]:
    """Yield every field of a definition as a dotted path, and whether it is a list."""
    for name, found in model.model_fields.items():
        kind = found.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from fields_of(kind, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", "tuple" in str(kind)


FIELDS = dict(fields_of(JobDefinition))


def with_value(body: dict[str, Any], fields: list[str], value: str) -> dict[str, Any]:
    """Return a definition with a value in these fields."""
    changed: dict[str, Any] = json.loads(json.dumps(body))
    for path in fields:
        outer, _, inner = path.rpartition(".")
        part = changed.setdefault(outer, {}) if outer else changed
        part[inner] = [value] if FIELDS[path] else value
    return changed


def post_job(arena: Arena, body: dict[str, Any]) -> httpx.Response:
    """Post a definition; whatever it is, it is answered as it should be."""
    content = json.dumps(body)
    answer = arena.server.http.post("/api/v1/jobs", content=content, headers=JSON)
    known = {413} if len(content) > MAX_BODY else {201, 422}
    assert answer.status_code in known, f"{answer.status_code}: {answer.text[:2000]}"
    assert "Traceback" not in answer.text
    return answer


def accepted_with(arena: Arena, body: dict[str, Any], value: str) -> tuple[str | None, list[str]]:
    """Put a value into every field, and leave out those that refuse it until the rest is accepted;
    returns the job's id, or None when no field takes it, and the fields that do."""
    fields = list(FIELDS)
    while fields:
        answer = post_job(arena, with_value(body, fields, value))
        if answer.status_code == 201:
            return str(answer.json()["id"]), fields
        if answer.status_code == 413:
            fields = fields[: len(fields) // 2]  # So long that all of them are too much at once.
            continue
        faults = [fault["field"] for fault in answer.json()["errors"]]
        refused = {path for path in fields if any(is_about(fault, path) for fault in faults)}
        assert refused, f"{value!r} was refused for a field that does not have it: {faults}"
        fields = [path for path in fields if path not in refused]
    return None, []


def is_about(fault: str, path: str) -> bool:
    """Whether a fault is that of a field, of one of its items, or of the part it belongs to."""
    return f"{fault}.".startswith(f"{path}.") or f"{path}.".startswith(f"{fault}.")


def check_page(answer: httpx.Response) -> None:
    """Fail when an answer is the server's fault, or has anything live that a value brought."""
    assert answer.status_code < 500, answer.text[:2000]
    assert "Traceback" not in answer.text
    if answer.headers.get("content-type", "").startswith("text/html"):
        live = [one for one in Page(answer.text).forbidden if not one.startswith(NAMED_ONLY)]
        assert live == [], answer.url
        found = [markup for markup in MARKUP if markup in answer.text]
        assert found == [], f"{found} on {answer.url}"


def run_all(arena: Arena, job_ids: list[str]) -> dict[str, dict[str, Any]]:
    """Start jobs at once and wait for their ends; returns their runs by job."""
    runs = {job_id: arena.server.start_job(job_id) for job_id in job_ids}
    return {job_id: arena.server.wait_for_end(run_id) for job_id, run_id in runs.items()}


def look_at(arena: Arena, job_ids: list[str]) -> None:
    """Look at every page that shows these jobs and their last runs."""
    addresses = ["/", "/jobs", "/runs"]
    for job_id in job_ids:
        run_id = arena.server.state(job_id)["run_id"]
        ends = ("", "/edit", "/card", "/delete")
        addresses += [f"/jobs/{job_id}{end}" for end in ends]
        addresses += [f"/runs/{run_id}"] if run_id else []
    for address in addresses:
        check_page(arena.server.http.get(address))


def some(items: list[str], count: int) -> list[str]:
    """Return so many of them from all over, or all of them in the long form."""
    step = 1 if IS_FULL else max(1, len(items) // count)
    return items[::step]


def test_every_field_of_the_api(arena: Arena) -> None:
    values = arena.values
    assert len(values) == COUNT
    accepted: dict[str, list[str]] = {engine: [] for engine in ENGINES}
    for number, value in enumerate(values):
        engine = ENGINES[number % 2]
        for name in ENGINES if IS_FULL else (engine,):
            body = arena.good(name, f"api {name} {number}")
            job_id, _ = accepted_with(arena, body, value)
            accepted[name] += [job_id] if job_id else []
    assert all(len(found) > COUNT // 10 for found in accepted.values()), "nothing was accepted"

    for engine in ENGINES:
        started = some(accepted[engine], 3)
        runs = run_all(arena, started)
        assert {run["outcome"] for run in runs.values()} <= {"completed", "warning", "failed"}
        look_at(arena, started)


def test_each_value_in_a_field_by_itself(arena: Arena) -> None:
    """All of them in all fields in the long form, one in four hundred in the short one."""
    pairs = [(path, value) for path in FIELDS for value in arena.values]
    accepted: list[str] = []
    for number, (path, value) in enumerate(pairs[:: 1 if IS_FULL else 401]):
        body = with_value(arena.good(ENGINES[number % 2], f"single {number}"), [path], value)
        answer = post_job(arena, body)
        if answer.status_code == 201:
            accepted.append(answer.json()["id"])
    assert accepted
    for start in range(0, len(accepted), AT_ONCE):
        group = accepted[start : start + AT_ONCE]
        started = group if IS_FULL else group[::4]
        runs = run_all(arena, started)
        assert {run["outcome"] for run in runs.values()} <= {"completed", "warning", "failed"}
        look_at(arena, started)
        for job_id in group:
            wait_for_status(arena.server, job_id, "pending", *ENDED)
            assert arena.server.http.delete(f"/api/v1/jobs/{job_id}").status_code == 204


LOCATION_PARTS = tuple(
    f"{name}_{part}" for name in LOCATIONS for part in LocationFields._fields if part != "kind"
)


@pytest.mark.long
def test_every_field_of_the_form(arena: Arena) -> None:
    for number, value in enumerate(arena.values):
        fields = [*NEW_JOB, *LOCATION_PARTS]
        kinds = {f"{name}_kind": KINDS[number % len(KINDS)][0] for name in LOCATIONS}
        # All at once, and then each in its turn beside good ones.
        wanted = fields if IS_FULL else [fields[number % len(fields)]]
        good = {**NEW_JOB, **{k: str(v) for k, v in arena.good().items() if k in NEW_JOB}}
        for posted in [dict.fromkeys(fields, value), *({**good, name: value} for name in wanted)]:
            content = urlencode({**posted, **kinds}, errors="surrogatepass")
            headers = FORM | ({"HX-Request": "true"} if number % 2 else {})
            for path in ("/jobs", "/deletion-words"):
                answer = arena.server.http.post(path, content=content, headers=headers)
                known = {413} if len(content) > MAX_BODY else {200, 303, 422}
                assert answer.status_code in known, f"{value[:80]!r}: {answer.text[:500]}"
                check_page(answer)


def names_of(values: tuple[str, ...]) -> list[bytes]:
    """Return the values that can be the name of a file, as bytes, and some that are not UTF-8."""
    found = {
        os.fsencode(value.encode("utf-8", "surrogateescape")) for value in values if fits(value)
    }
    return sorted(found | {b"\xff\xfe", b"-e\xff", b"\xc3("})


def fits(value: str) -> bool:
    """Whether this can be a name within a folder."""
    try:
        raw = value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return 0 < len(raw) <= LONGEST_NAME and not set(raw) & {0, 0x2F} and raw not in {b".", b".."}


def files_in(root: Path) -> list[str]:
    """Return what lies beneath a folder but folders."""
    return [line for line in listing(root) if not line.startswith("folder ")]


@pytest.mark.parametrize("engine", ENGINES)
def test_names_in_the_tree(arena: Arena, engine: str, room: Path) -> None:
    source = room / "from"
    source.mkdir()
    names = names_of(arena.values)
    assert len(names) > COUNT // 3
    for number, name in enumerate(names):
        path = os.path.join(os.fsencode(source), name)
        if number % 3:
            with open(path, "wb") as file:
                file.write(name)
        else:
            os.mkdir(path)
            with open(os.path.join(path, name), "wb") as file:
                file.write(name)
    destination = arena.top / "to" / f"names {engine}"
    body = arena.good(engine, destination.name) | {
        "source": str(source),
        "verification": "checksum",
    }
    job_id = post_job(arena, body).json()["id"]

    run = run_to_end(arena.server, job_id)

    assert run["outcome"] == "completed", run
    assert differences_beneath(source, destination) == ""
    assert len(listing(destination)) == len(listing(source))
    look_at(arena, [job_id])

    second = arena.top / "to" / f"deleted {engine}"
    deletion = {"enabled": True, "trash_days": 1, "delete_empty_directories": True}
    job_id = post_job(
        arena, body | {"destination": str(second), "source_deletion": deletion}
    ).json()["id"]

    run = run_to_end(arena.server, job_id)

    assert (run["outcome"], run["sources_deleted"]) == ("completed", len(names)), run
    assert differences_beneath(destination, second) == ""
    assert os.listdir(source) == [TRASH_FOLDER]
    look_at(arena, [job_id])
    record = arena.server.http.get(f"/api/v1/runs/{run['id']}/deletions?outcome=trashed").json()
    assert record["total"] == len(names)

    back = arena.server.http.post(f"/api/v1/runs/{run['id']}/put-back").json()

    assert back == {"restored": len(names), "stayed": 0}
    shutil.rmtree(source / TRASH_FOLDER, ignore_errors=True)
    # Folders that went are made anew, with the time of that.
    assert files_in(source) == files_in(destination)
    look_at(arena, [job_id])


def test_places(arena: Arena, room: Path) -> None:
    """Folders with such names on this machine, on another one over ssh, and on a remote."""
    jobs: list[str] = []
    for number, value in enumerate(arena.values):
        name = value.replace("/", "").replace("\0", "")
        if not fits(name) or not (IS_FULL or "canary" in value or number % 16 == 0):
            continue
        source = room / f"{number}" / name
        make_tree(source, files=1)
        destination = f"{arena.top}/to/places/{number}{name}"
        for engine, way_in, way_out in (
            ("rsync", "", ""),
            ("rclone", "", ""),
            ("rsync", "", "ssh://host"),
            ("rsync", "ssh://host", ""),
            ("rclone", "", "rclone://here/"),
            ("rclone", "rclone://here/", ""),
        ):
            place = f"{way_out}{destination} {len(jobs)}{name}"
            body = arena.good(engine) | {"source": f"{way_in}{source}", "destination": place}
            answer = post_job(arena, body)
            if answer.status_code == 201:
                jobs.append(answer.json()["id"])
    assert len(jobs) > COUNT // 10

    runs = run_all(arena, some(jobs, 8))

    assert {run["outcome"] for run in runs.values()} <= {"completed", "warning", "failed"}
    local = [run for run in runs.values() if run["source"][0] == run["destination"][0] == "/"]
    assert {run["outcome"] for run in local} == {"completed"}, local
    look_at(arena, some(list(runs), 6))


def test_names_of_remotes(arena: Arena) -> None:
    """Those of the configuration that can be written in a location, and those that cannot."""
    jobs: list[str] = []
    for value in arena.values:
        for location in (f"rclone://{value}/x", f"rclone://{value}:/x", f"ssh://{value}/x", value):
            body = arena.good("rsync" if location.startswith("ssh") else "rclone")
            answer = post_job(arena, body | {"source": location})
            if answer.status_code == 201:
                jobs.append(answer.json()["id"])

    runs = run_all(arena, some([job for job in jobs if is_rclone(arena, job)], 4))

    assert runs
    assert {run["outcome"] for run in runs.values()} <= {"completed", "warning", "failed"}
    check_page(arena.server.http.get("/jobs/new"))


def is_rclone(arena: Arena, job_id: str) -> bool:
    """Whether a job's engine is rclone: a host that does not exist is no attack."""
    return bool(arena.server.http.get(f"/api/v1/jobs/{job_id}").json()["engine"] == "rclone")


def routes() -> Iterator[APIRoute]:
    """Yield every route of the application, whichever they are by now."""
    for found in iter_modules(routers.__path__):
        module = import_module(f"{routers.__name__}.{found.name}")
        yield from (route for route in module.router.routes if isinstance(route, APIRoute))


def addresses_of(route: APIRoute) -> Iterator[str]:
    """Yield how a route is called: in its path, in each field of its query, and in all of these.

    `{}` stands for a value, `{job}` and `{run}` for an id that there is.
    """
    method = min(route.methods or ["GET"])
    fields = sorted(query_of(route.dependant))
    if "{" in route.path:
        yield f"{method} {re.sub('{[^}]*}', '{}', route.path)}"
    if method == "GET" and fields:
        path = re.sub(r"{(job|run)_id}", r"{\1}", route.path)
        for asked in [[field] for field in fields] + [fields] * (len(fields) > 1):
            yield f"GET {path}?{'&'.join(f'{field}={{}}' for field in asked)}"


def query_of(dependant: Dependant) -> Iterator[str]:
    """Yield the fields of a query, those too that a route's dependencies ask for."""
    yield from (field.alias for field in dependant.query_params)
    yield from chain.from_iterable(map(query_of, dependant.dependencies))


ADDRESSES = (
    "GET /static/{}",
    "GET /folders?field=source&path={}",
    "GET /folders?field=destination&destination={}",
    *chain.from_iterable(map(addresses_of, routes())),
)


def test_addresses(arena: Arena) -> None:
    job_id = post_job(arena, arena.good(place="addresses")).json()["id"]
    run_id = run_to_end(arena.server, job_id)["id"]
    for number, value in enumerate(arena.values):
        typed = quote(value.encode("utf-8", "surrogatepass")[:LONGEST_IN_ADDRESS], safe="")
        for turn, address in enumerate(ADDRESSES):
            if not IS_FULL and (number + turn) % 40:
                continue
            method, _, path = address.partition(" ")
            path = path.replace("{run}", run_id).replace("{job}", job_id)
            target = path.replace("{}", typed)
            if len(target) > 2 * LONGEST_IN_ADDRESS:
                continue
            answer = arena.server.http.request(method, target, headers={"If-Match": '"1"'})
            assert answer.status_code < 500, f"{method} {target[:300]}: {answer.text[:1000]}"
            check_page(answer)
        version = value.encode("utf-8", "replace").decode("latin-1").strip()
        if version.isprintable() and len(version) < LONGEST_IN_ADDRESS:
            put = arena.server.http.put(
                f"/api/v1/jobs/{job_id}",
                json=arena.good(place="addresses"),
                headers={b"If-Match": version.encode("latin-1")},
            )
            assert put.status_code in {200, 412, 422, 428}, put.text[:1000]


def edited_files(arena: Arena) -> Iterator[tuple[str, bytes]]:
    """Yield job files that a person might leave, by name: a value as it is behind a key, quoted,
    in a list, as a key, and as the whole file."""
    paths = list(FIELDS)
    for number, value in enumerate(arena.values):
        raw = value.encode("utf-8", "surrogatepass")
        quoted = json.dumps(value).encode()
        for path in paths if IS_FULL else [paths[number % len(paths)]]:
            good = arena.good(ENGINES[number % 2], f"edited {number} {path}")
            outer, _, inner = path.rpartition(".")
            part = good.pop(outer, {}) if outer else {}
            lines = [f"{key}: {json.dumps(item)}" for key, item in good.items() if key != path]
            top = "\n".join(lines).encode() + b"\n"
            indent = b"  " if outer else b""
            head = f"{outer}:\n".encode() if outer else b""
            rest = b"".join(
                f"  {key}: {json.dumps(item)}\n".encode()
                for key, item in part.items()
                if key != inner
            )
            forms = list(enumerate((raw, quoted, b"[" + quoted + b"]")))
            for form, told in forms[number % 3 :][:1] if IS_FULL else forms:
                text = top + head + rest + indent + inner.encode() + b": " + told + b"\n"
                yield f"e{number}-{path.replace('.', '-').replace('_', '-')}-{form}", text
        yield f"key{number}", top + raw + b": 1\n"
        yield f"whole{number}", raw


def test_job_files_edited_by_hand(arena: Arena) -> None:
    server = RunningServer(arena.top / "data" / "edited", LONGSHORE_MAX_CONCURRENT_RUNS="6")
    server.environment |= {
        name: arena.server.environment[name]
        for name in ("PATH", "HOME", "RSYNC_RSH", "RCLONE_PASSWORD_COMMAND")
    }
    folder = server.data_dir / "jobs"
    folder.mkdir(parents=True)
    files = list(edited_files(arena))
    half = len(files) // 2
    for name, content in files[:half]:
        (folder / f"{name}.yaml").write_bytes(content)
    for raw in names_of(arena.values):
        if len(raw) < LONGEST_NAME - 10:
            Path(os.fsdecode(os.path.join(os.fsencode(folder), raw + b".yaml"))).write_bytes(b"a")
    with ended_server(server):
        for name, content in files[half:]:
            (folder / f"{name}.yaml").write_bytes(content)
        names = [name for name, _ in files]
        known = wait_until(lambda: all_known(server, names), seconds=600, what="all files")
        assert len(known) > COUNT // 10

        inner = Arena(arena.top, arena.traps, server)
        runs = run_all(inner, some(known, 4))

        assert {run["outcome"] for run in runs.values()} <= {"completed", "warning", "failed"}
        look_at(inner, some(known, 4))
        inner.before = arena.before
        assert inner.traps.caught() == []
        log = (server.data_dir / "logs" / "longshore.log").read_text(errors="replace")
        assert "Traceback" not in log


def all_known(server: RunningServer, names: list[str]) -> list[str]:
    """Return the jobs once every file is known, as a job or as a damaged file."""
    jobs: list[str] = []
    cursor = ""
    while True:
        page = server.http.get("/api/v1/jobs", params={"limit": 500, "cursor": cursor}).json()
        jobs += [job["id"] for job in page["items"]]
        cursor = page["next_cursor"]
        if not cursor:
            break
    damaged = {job["id"] for job in page["damaged"]}
    assert all(job["reason"] for job in page["damaged"])
    return jobs if set(names) <= {*jobs, *damaged} else []


def test_a_trap_that_is_stepped_on_is_told_of(tmp_path: Path) -> None:
    """That what is asserted above can fail."""
    traps = set_traps(tmp_path)
    (tmp_path / "there").write_bytes(b"a")
    before = picture(tmp_path, without=(traps.folder,))
    subprocess.run(["sh", "-c", "x"], env={"PATH": traps.path}, executable=traps.folder / "sh")
    subprocess.run(
        ["ssh", "-p", "1", "u@host", "touch", f"{tmp_path}/a b"], env={"PATH": traps.path}
    )
    (tmp_path / "there").write_bytes(b"b")
    (tmp_path / "new").mkdir()
    assert [Path(line.split()[0]).name for line in traps.caught()] == ["sh", "touch"]
    assert [host_of(call) for call in traps.ssh_calls()] == ["host"]
    after = picture(tmp_path, without=(traps.folder,))
    changed = {
        Path(name).name
        for name in before.keys() | after.keys()
        if before.get(name) != after.get(name)
    }
    assert {"there", "new"} <= changed | {Path(name).parent.name for name in after}
