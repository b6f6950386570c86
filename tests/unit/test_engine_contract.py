"""What every engine of the registry must hold, however its tool is called: a new one is in here by
standing in the registry (docs/adding-an-engine.md).

Arguments and readers are looked at by themselves; that a scan, a verification and a dry run change
nothing, and that a run over some files touches those alone, is tried with the real tool.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.engines.base import Engine, OpenFile, Reading, Verdict, too_old, version_numbers
from core.engines.previews import PREVIEWS
from core.engines.registry import ENGINES
from core.tools import LocalTools
from models.extra_args import ALLOWED, extra_argument_fault
from models.job import ENGINES as ENGINE_NAMES
from models.location import location_fault
from models.run_spec import ONLY_FILES, PASSWORD_VARIABLE, RunSpec
from tests.conftest import need
from tests.fakes.builders import a_spec
from tests.integration.hostile import hostile_values, picture

EVERY = pytest.mark.parametrize("engine", list(ENGINES.values()), ids=list(ENGINES))
TOOL = "/bin/tool"
CANARY = Path("/nowhere/canary")
GOOD_BESIDE_ZERO = {"rclone": {9}}
"""Codes by which a tool says that there was nothing to do."""
ALLOWED_IN_ENVIRONMENT = {
    "rsync": {"RSYNC_PASSWORD"},
    "rclone": {"RCLONE_CONFIG_PASS"},
}
"""By which an engine hands over a password."""
REMOTES = {
    "rsync": ("ssh://u@host:22/srv/a b", "rsync://host/module/a b"),
    "rclone": ("rclone://remote/a b", "rclone://remote//a b"),
}
"""Well-formed locations on other machines, of each kind that the engine reaches."""
KEPT_AT_MOST = 12_000
"""So many failed files a reader may remember, so as to count none twice."""
FAILURE_LINES: dict[str, Callable[[int], bytes]] = {
    "rsync": lambda n: b'rsync: [sender] send_files failed to open "/srv/photos/%d": No (13)' % n,
    "rclone": lambda n: json.dumps(
        {"level": "error", "object": f"{n}", "objectType": "*local.Object", "msg": "no"}
    ).encode(),
}
"""What the tool says of a file that failed."""


def calls(engine: Engine, spec: RunSpec, *, is_directory: bool = True) -> dict[str, list[str]]:
    """Return every call that a run may make of the tool."""
    kind = {"is_directory": is_directory}
    return {
        "transfer": engine.build_argv(spec, TOOL, **kind),
        "transfer, all at once": engine.build_argv(spec, TOOL, lists_at_once=True, **kind),
        "scan": engine.build_scan_argv(spec, TOOL, **kind),
        "verification": engine.build_verify_argv(spec, TOOL, **kind),
        "verification, read back": engine.build_verify_argv(spec, TOOL, reads_back=True, **kind),
        "dry run": PREVIEWS[engine.name].build_argv(engine, spec, TOOL, **kind),
    }


def shape(argv: list[str]) -> list[str]:
    """Return what an argument list is but for its values: options by name, and all else."""
    options = argv[: argv.index("--")]
    return [option.split("=", 1)[0] if option.startswith("-") else option for option in options]


def full_spec(engine: Engine, **fields: Any) -> RunSpec:
    """Return a spec with every common option set."""
    values: dict[str, Any] = {
        "bandwidth_limit": 4096,
        "delete_extraneous": True,
        "max_delete": 5,
        "keep_replaced_in": ".longshore-kept/2026",
        "timeout_seconds": 9,
        "verification": "checksum",
        "exclude": ("e",),
        "include": ("i",),
    }
    return a_spec(engine=engine.name, **(values | fields))


def test_every_engine_is_known_everywhere() -> None:
    assert set(ENGINES) == set(ENGINE_NAMES) == set(PREVIEWS) == set(ALLOWED)
    assert set(ENGINES) == set(FAILURE_LINES) == set(REMOTES) == set(ALLOWED_IN_ENVIRONMENT)


@EVERY
def test_it_says_who_it_is(engine: Engine) -> None:
    assert ENGINES[engine.name] is engine
    assert engine.command
    assert "/" not in engine.command
    assert engine.install_hint.endswith(".")
    assert len(version_numbers(engine.least_version)) >= 2
    assert too_old(engine, engine.least_version) is None
    assert engine.install_hint in str(too_old(engine, "0.0.1"))
    for version in ("0.0.1", engine.least_version, "99.0"):
        notice = engine.version_notice(version)
        assert notice is None or notice.endswith(".")
    assert engine.version_argv(TOOL)[0] == TOOL


@EVERY
@given(output=st.text(max_size=200))
def test_any_print_of_a_version_is_taken(engine: Engine, output: str) -> None:
    version = engine.parse_version(output)
    assert version is None or version_numbers(version)


@EVERY
@pytest.mark.parametrize("is_directory", [True, False])
def test_no_location_or_pattern_becomes_an_option(engine: Engine, is_directory: bool) -> None:
    plain = full_spec(engine, source="/s/x", destination="/d/x")
    harmless = calls(engine, plain, is_directory=is_directory)
    for value in hostile_values(CANARY):
        hostile = plain._replace(
            source=f"/s/{value}", destination=f"/d/{value}", exclude=(value,), include=(value,)
        )
        for name, argv in calls(engine, hostile, is_directory=is_directory).items():
            told = f"{name} with {value[:80]!r}"
            assert argv[0] == TOOL
            assert shape(argv) == shape(harmless[name]), told
            places = argv[len(shape(argv)) + 1 :]
            assert len(places) == len(harmless[name]) - len(shape(harmless[name])) - 1, told
            # As they are, however they look: the runner hands them over without a shell.
            assert all(place.startswith(("/s/", "/d/")) for place in places), told
            # A location stands before `--` only within a value, of an option that is there anyway.
            before = argv[1 : len(shape(argv))]
            assert not [one for one in before if one in (value, f"/s/{value}")], told


@EVERY
@pytest.mark.parametrize("field", ["source", "destination"])
def test_a_remote_location_is_behind_the_options_too(engine: Engine, field: str) -> None:
    for remote in REMOTES[engine.name]:
        assert location_fault(remote) is None
        spec = full_spec(engine, **{field: remote})
        for name, argv in calls(engine, spec).items():
            places = argv[argv.index("--") + 1 :]
            assert 1 <= len(places) <= 2, name
            assert not any(place.startswith("-") for place in places), name
            assert not any("a b" in one for one in argv[: argv.index("--")]
                           if not one.startswith("--backup-dir=")), name  # fmt: skip


@EVERY
def test_extra_arguments_go_to_the_tool_before_the_locations(engine: Engine) -> None:
    flags = tuple(name for name, allowed in ALLOWED[engine.name].items() if not allowed.value)
    selecting = {name for name in flags if ALLOWED[engine.name][name].selects}
    assert all(extra_argument_fault(engine.name, flag) is None for flag in flags)
    found = calls(engine, full_spec(engine, extra_args=flags, verification="fast"))
    assert set(flags) <= set(shape(found["transfer"]))
    assert selecting <= set(shape(found["scan"]))
    assert selecting <= set(shape(found["verification"]))


@EVERY
@pytest.mark.parametrize("code", [*range(256), *(-number for number in range(1, 65))])
def test_every_end_has_a_meaning_in_words(engine: Engine, code: int) -> None:
    for meaning in (engine.classify_exit(code), engine.classify_verify_exit(code)):
        assert meaning.verdict in Verdict
        assert meaning.message[0].isupper() or meaning.message.startswith(engine.command)
        assert meaning.message.endswith((".", "?"))
        is_good = meaning.verdict is Verdict.GOOD
        assert is_good == (code == 0 or code in GOOD_BESIDE_ZERO.get(engine.name, ()))
    assert isinstance(engine.is_partial_for_sure(code, files_failed=0), bool)


def heads(engine: Engine) -> st.SearchStrategy[bytes]:
    """Return beginnings of what the tool really says, so that more is reached than the first
    look at a line."""
    line = FAILURE_LINES[engine.name](7)
    return st.integers(0, len(line)).map(lambda end: line[:end])


ENGINE_AND_LINES = st.sampled_from(list(ENGINES.values())).flatmap(
    lambda engine: st.tuples(
        st.just(engine),
        st.lists(st.builds(bytes.__add__, heads(engine), st.binary(max_size=80)), max_size=8),
    )
)


@given(case=ENGINE_AND_LINES)
def test_no_output_upsets_a_reader(case: tuple[Engine, list[bytes]]) -> None:
    engine, lines = case
    spec = a_spec(engine=engine.name, verification="checksum")
    reader, differences = engine.output_reader(spec), engine.difference_reader(spec)
    preview = PREVIEWS[engine.name].reader(engine, spec)
    content = bytearray(b"\n".join(lines) + b"\n")
    for one in (reader, differences):
        assert isinstance(one.concerns(content, 0, len(content)), bool)
    found = reader.feed(lines).failures
    found += [failure for line in lines if (failure := differences.feed(line)) is not None]
    for line in lines:
        differences.tells_progress(line)
    preview.feed(lines)
    preview.close()
    for failure in found:
        assert (failure.path + failure.reason).isprintable()
        assert failure.name is None or is_within(failure.name)
    for file in (OpenFile(b"".join(lines), 7), None):
        reader.note_open_file(file)
    check_reading(reader.reading)
    engine.parse_scan(bytes(content))


def is_within(name: str) -> bool:
    """Whether this is a name from the top of the source that can be on disk."""
    raw = os.fsencode(name)
    parts = raw.split(b"/")
    return b"\0" not in raw and not {b"", b".."} & set(parts)


def check_reading(reading: Reading) -> None:
    """Figures are never below nothing, and names can be shown."""
    figures = (reading.bytes_done, reading.bytes_sent, reading.files_done, reading.files_deleted)
    assert min(figures) >= 0
    assert (reading.current_file or "").isprintable()


@EVERY
def test_what_readers_keep_has_a_bound(engine: Engine) -> None:
    spec = a_spec(engine=engine.name)
    reader, differences = engine.output_reader(spec), engine.difference_reader(spec)
    line = FAILURE_LINES[engine.name]

    def read(numbers: range) -> None:
        for number in numbers:
            told = line(number)
            assert len(reader.feed([told]).failures) == 1
            differences.feed(told)

    read(range(KEPT_AT_MOST))
    tracemalloc.start()
    try:
        read(range(KEPT_AT_MOST, KEPT_AT_MOST + 3000))
        grown = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert grown < 100_000, f"{grown} bytes more after 3,000 lines more"


@EVERY
def test_a_failed_file_is_named_so_that_it_can_be_tried_again(engine: Engine) -> None:
    (failure,) = engine.output_reader(a_spec(engine=engine.name)).feed(
        [FAILURE_LINES[engine.name](7)]
    ).failures  # fmt: skip
    assert failure.name == "7"
    assert failure.reason


@EVERY
def test_the_environment_is_cleaned(engine: Engine) -> None:
    prefix = f"{engine.command.upper()}_"
    hostile = {
        f"{prefix}{end}": "touch canary" for end in ("RSH", "CONFIG", "PASSWORD_COMMAND", "")
    }
    inherited = {"PATH": "/bin", "HOME": "/h", "LC_ALL": "de_DE.UTF-8", **hostile}
    kept = dict(inherited)

    found = engine.environment(inherited)

    assert inherited == kept
    assert found["LC_ALL"] == "C"
    assert (found["PATH"], found["HOME"]) == ("/bin", "/h")
    assert {name for name in found if name.startswith(prefix)} <= ALLOWED_IN_ENVIRONMENT[
        engine.name
    ]
    assert "touch canary" not in found.values()
    secret = engine.environment(inherited | {PASSWORD_VARIABLE: "secret"})
    assert PASSWORD_VARIABLE not in secret
    holders = {name for name, value in secret.items() if value == "secret"}
    assert holders == ALLOWED_IN_ENVIRONMENT[engine.name]


class Bench:
    """A source and a destination that differs from it, with the real tool of an engine."""

    def __init__(self, engine: Engine, top: Path) -> None:
        self.engine = engine
        tool = LocalTools(ENGINES).path_of(engine.name)
        need(engine.command, tool)
        assert tool is not None
        self.tool = tool
        self.top = top
        self.source, self.destination = top / "from", top / "to"
        for folder in (self.source / "sub", self.destination):
            folder.mkdir(parents=True)
        for name in ("same", "changed", "-new", "sub/deep", "[a]*"):
            (self.source / name).write_bytes(f"{name} here".encode())
        (self.destination / "same").write_bytes(b"same here")
        os.utime(self.destination / "same", ns=(self._time("same"),) * 2)
        (self.destination / "changed").write_bytes(b"older and longer than it")
        (self.destination / "extraneous").write_bytes(b"only there")

    def _time(self, name: str) -> int:
        return (self.source / name).stat().st_mtime_ns

    def spec(self, **fields: Any) -> RunSpec:
        """Return a spec of this source and destination that may delete."""
        places = {"source": str(self.source), "destination": str(self.destination)}
        return a_spec(
            engine=self.engine.name,
            delete_extraneous=True,
            **(places | {"verification": "fast"} | fields),
        )

    def run(self, argv: list[str]) -> subprocess.CompletedProcess[bytes]:
        """Call the real tool."""
        environment = self.engine.environment(dict(os.environ))
        return subprocess.run(argv, env=environment, capture_output=True, timeout=60, cwd=self.top)

    def only(self, *names: str) -> RunSpec:
        """Return the spec of a run over these files alone."""
        listed = self.top / ONLY_FILES
        listed.write_bytes(b"".join(os.fsencode(name) + b"\0" for name in names))
        spec = self.spec(only_failed_of="run-0", only_files_path=str(listed))
        self.engine.write_only_files(spec)
        return spec


@pytest.fixture
def bench(engine: Engine) -> Iterator[Bench]:
    """A bench in a folder of its own."""
    with tempfile.TemporaryDirectory() as top:
        yield Bench(engine, Path(top))


@EVERY
def test_the_real_tool_tells_its_version(bench: Bench, engine: Engine) -> None:
    told = bench.run(engine.version_argv(bench.tool)).stdout.decode()
    version = engine.parse_version(told)
    assert version is not None, told
    assert too_old(engine, version) is None


@EVERY
@pytest.mark.parametrize("call", ["scan", "fast", "checksum", "read back", "dry run"])
def test_what_only_looks_changes_nothing(bench: Bench, engine: Engine, call: str) -> None:
    before = picture(bench.top)
    verification = "checksum" if call in {"checksum", "read back"} else "fast"
    spec, tool = bench.spec(verification=verification), bench.tool
    argv = {
        "scan": lambda: engine.build_scan_argv(spec, tool, is_directory=True),
        "dry run": lambda: PREVIEWS[engine.name].build_argv(engine, spec, tool, is_directory=True),
    }.get(
        call,
        lambda: engine.build_verify_argv(
            spec, tool, is_directory=True, reads_back=call == "read back"
        ),
    )()

    told = bench.run(argv)

    assert picture(bench.top) == before
    lines = (told.stdout + told.stderr).splitlines()
    if call == "scan":
        totals = engine.parse_scan(told.stdout)
        assert totals is not None
        assert totals.files == 5
    elif call == "dry run":
        reader = PREVIEWS[engine.name].reader(engine, spec)
        assert [*reader.feed(lines).changes, *reader.close()]
    else:
        differences = engine.difference_reader(spec)
        found = [differences.feed(line) for line in lines]
        # A folder that is missing may be named as well.
        names = {one.path for one in found if one is not None and not one.path.endswith("/")}
        assert names == {"changed", "-new", "sub/deep", "[a]*"}, told


@EVERY
def test_a_run_over_some_files_touches_those_alone(bench: Bench, engine: Engine) -> None:
    wanted = ("-new", "[a]*", "sub/deep")
    spec = bench.only(*wanted)
    before = picture(bench.destination)

    scan = bench.run(engine.build_scan_argv(spec, bench.tool, is_directory=True))
    totals = engine.parse_scan(scan.stdout)
    assert totals is not None
    assert totals.files == len(wanted)
    done = bench.run(engine.build_argv(spec, bench.tool, is_directory=True))
    assert engine.classify_exit(done.returncode).verdict is Verdict.GOOD, done

    after = {Path(path): facts for path, facts in picture(bench.destination).items()}
    for name in wanted:
        copy = bench.destination / name
        assert copy.read_bytes() == (bench.source / name).read_bytes()
        del after[copy]
    files = {path: facts for path, facts in after.items() if path.is_file()}
    assert files == {Path(path): facts for path, facts in before.items() if Path(path).is_file()}
    told = bench.run(engine.build_verify_argv(spec, bench.tool, is_directory=True))
    differences = engine.difference_reader(spec)
    lines = (told.stdout + told.stderr).splitlines()
    assert [differences.feed(line) for line in lines if differences.feed(line)] == []


@EVERY
def test_nothing_is_deleted_but_on_demand(bench: Bench, engine: Engine) -> None:
    extraneous = bench.destination / "extraneous"
    keeps = bench.spec()._replace(delete_extraneous=False, max_delete=5)
    bench.run(engine.build_argv(keeps, bench.tool, is_directory=True))
    assert extraneous.exists()
    bench.run(engine.build_argv(bench.spec(), bench.tool, is_directory=True))
    assert not extraneous.exists()
