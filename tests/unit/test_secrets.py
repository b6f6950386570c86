"""Proves what secrets.yaml may hold, who may read it, and which password a run is handed."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from fastapi_app.commands.secrets import app
from models.credential import Credential
from models.errors import CredentialUnusable, InvalidDocument, LongshoreError
from models.job_state import JobState
from models.progress import RunOutcome
from models.run import Run
from storage.secrets import SecretsFile, parse_secrets, variable_of
from tests.fakes.builders import a_job
from tests.fakes.outside import World
from tests.fakes.scenes import ended, status

SECRET = "hush; 42"
CONTENT = f'format: 1\ncredentials:\n  nas: {{user: ada, password: "{SECRET}"}}\n  open: {{}}\n'
JOB, DAEMON = "photos-0001", "rsync://nas/backup/photos"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory with a file of secrets."""
    written(tmp_path, CONTENT)
    return tmp_path


def written(data: Path, content: str) -> Path:
    """Write the file as a careful person does."""
    path = data / "secrets.yaml"
    path.touch(mode=0o600)
    path.write_text(content)
    return path


async def refusal(data: Path, name: str = "nas", **environment: str) -> str:
    """Return why a credential cannot be used; the secret must be no part of it."""
    with pytest.raises(CredentialUnusable) as raised:
        await SecretsFile(data, environment).find(name)
    assert "hush" not in str(raised.value)
    return str(raised.value)


async def test_a_password_is_read_anew_each_time(data: Path) -> None:
    file = SecretsFile(data, {})
    assert await file.find("nas") == Credential("ada", SECRET)
    written(data, CONTENT.replace("ada", "bob").replace("42", "43"))
    assert await file.find("nas") == Credential("bob", "hush; 43")
    (data / "secrets.yaml").unlink()
    with pytest.raises(CredentialUnusable):
        await file.find("nas")


async def test_a_password_may_come_from_the_environment(data: Path) -> None:
    file = SecretsFile(data, {"LONGSHORE_SECRET_NAS": "other", "LONGSHORE_SECRET_A_B_C": "third"})
    assert await file.find("nas") == Credential("ada", "other")
    assert await file.find("a-b.C") == Credential(None, "third")
    assert await SecretsFile(data, {"LONGSHORE_SECRET_NAS": ""}).find("nas") == Credential(
        "ada", SECRET
    )
    assert "more than one line" in await refusal(data, LONGSHORE_SECRET_NAS="hush\nx")
    assert variable_of("a-b.C") == "LONGSHORE_SECRET_A_B_C"


async def test_what_is_not_there_is_said_with_where_to_put_it(data: Path) -> None:
    assert await refusal(data, "nobody") == (
        "The credential “nobody” cannot be used: there is none of this name, neither in "
        "secrets.yaml nor in the environment as LONGSHORE_SECRET_NOBODY."
    )
    assert "it has no password" in await refusal(data, "open")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o677])
async def test_a_file_that_others_may_use_is_refused(data: Path, mode: int) -> None:
    (data / "secrets.yaml").chmod(mode)
    assert "secrets.yaml: can be used by others: chmod 600." in await refusal(data)


async def test_a_file_of_another_owner_is_refused(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    assert "belongs to another user" in await refusal(data)
    with pytest.raises(InvalidDocument, match="who owns the data directory"):
        SecretsFile(data, {}).put("new", user=None, password="x")
    assert (data / "secrets.yaml").read_text() == CONTENT


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (os.mkfifo, "is not a file"),
        (os.mkdir, "is not a file"),
        (lambda path: os.symlink("elsewhere", path), "is a link"),
    ],
)
async def test_what_is_no_file_is_refused_and_never_waited_for(
    data: Path, make: Callable[[str], None], words: str
) -> None:
    (data / "secrets.yaml").rename(data / "elsewhere")
    make(str(data / "secrets.yaml"))
    assert words in await refusal(data)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "cannot be read"),
        ("- hush\n", "cannot be read"),
        ("format: 1\ncredentials:\n  nas: {password: !hush x}\n", "cannot be read at line 3"),
        ("format: 1\ncredentials:\n  nas: {password: *hush}\n", "cannot be read at line 3"),
        ("format: 1\ncredentials:\n  nas: {password: [hush\n", "cannot be read at line"),
        ("format: 1\ncredentials: {nas: {hush: a, hush: b}}\n", "cannot be read at line 2"),
        ("credentials: {}\n", "must say format: 1"),
        ("format: 2\ncredentials: {}\n", "must say format: 1"),
        ("format: 1\nhush: x\n", "without a meaning at line 2"),
        ("format: 1\ncredentials: hush\n", "line 2 must have names"),
        ("format: 1\ncredentials:\n  nas: hush\n", "line 3 must have a password"),
        ("format: 1\ncredentials:\n  nas: {hush: x}\n", "without a meaning at line 3"),
        ("format: 1\ncredentials:\n  'hush hush': {password: x}\n", "name at line 3"),
        ("format: 1\ncredentials:\n  nas:\n    password: true\n", "password at line 4"),
        ("format: 1\ncredentials:\n  nas:\n    password:\n", "password at line 4"),
        ("format: 1\ncredentials:\n  nas:\n    password: ''\n", "password at line 4"),
        ('format: 1\ncredentials:\n  nas: {password: "hush\\nx"}\n', "password at line 3"),
        ('format: 1\ncredentials:\n  nas: {password: "hush\\0x"}\n', "password at line 3"),
        ("format: 1\ncredentials:\n  nas: {user: [hush], password: x}\n", "user at line 3"),
        (f"format: 1\n# {'hush' * 300_000}\n", "cannot be read"),
    ],
)
async def test_a_file_with_faults_is_refused_without_its_words(
    tmp_path: Path, content: str, words: str
) -> None:
    written(tmp_path, content)
    assert words in await refusal(tmp_path)


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(InvalidDocument) as raised:
        parse_secrets(b"x: 1\ncredentials:\n  'a b': {}\n  c: {password: null}\n")
    assert raised.value.reason.count(";") == 3


def test_numbers_and_words_stay_what_a_person_wrote() -> None:
    found = parse_secrets(b"format: 1\ncredentials:\n  a: {user: 007, password: 0123}\n")
    assert (found["a"].user, found["a"].password) == ("007", "0123")
    assert parse_secrets(b"format: 1\ncredentials:\n") == {}


@pytest.mark.parametrize("password", [SECRET, "!x", "&x", "'\"\\", "0123", "true", " x ", "ж🗄️#: "])
def test_what_is_put_is_found_again_and_is_private(tmp_path: Path, password: str) -> None:
    file = SecretsFile(tmp_path, {})
    file.put("nas", user="ada", password="first")
    file.put("b", user=None, password="x")
    file.put("nas", user=None, password=password)

    found = file.read()
    assert {name: (one.user, one.password) for name, one in found.items()} == {
        "nas": ("ada", password),
        "b": (None, "x"),
    }
    assert stat.S_IMODE((tmp_path / "secrets.yaml").stat().st_mode) == 0o600
    # Other readers of YAML find the same.
    document = yaml.safe_load((tmp_path / "secrets.yaml").read_bytes())
    assert document["credentials"]["nas"] == {"user": "ada", "password": password}
    assert [path.name for path in tmp_path.iterdir()] == ["secrets.yaml"], "no backup is left"


def test_what_is_removed_is_gone(data: Path) -> None:
    (data / ".new-secrets.yaml.1f").write_text(SECRET)
    file = SecretsFile(data, {})
    assert file.remove("nas")
    assert not file.remove("nas")
    assert [*file.read()] == ["open"]
    assert [path.name for path in data.iterdir()] == ["secrets.yaml"]
    assert SECRET not in (data / "secrets.yaml").read_text()
    assert file.remove("open")
    assert file.read() == {}


def test_a_file_with_faults_is_never_written_over(data: Path) -> None:
    path = written(data, "format: 2\n")
    with pytest.raises(LongshoreError):
        SecretsFile(data, {}).put("nas", user=None, password="x")
    assert path.read_text() == "format: 2\n"


def test_no_repr_shows_a_password(data: Path) -> None:
    assert SECRET not in repr(Credential("ada", SECRET)) + repr(SecretsFile(data, {}).read())


@pytest.mark.parametrize(
    ("arguments", "typed", "words"),
    [
        (("set", "../x"), "y", "letters, digits"),
        (("set", "nas", "--user", "a@b"), "y", "letters, digits"),
        (("set", "nas"), "", "one line"),
        (("set", "nas"), "a\nb\n", "one line"),
        (("set", "nas"), "x" * 5000, "one line"),
        (("remove", "nas"), "", "no credential 'nas'"),
    ],
)
def test_what_the_command_line_refuses(
    tmp_path: Path, arguments: tuple[str, ...], typed: str, words: str
) -> None:
    environment = {"LONGSHORE_DATA_DIR": str(tmp_path)}
    result = CliRunner().invoke(app, arguments, input=typed, env=environment)
    assert result.exit_code == 1
    assert words in result.stderr
    assert [*tmp_path.iterdir()] == []


async def a_world(*, limit: int = 4, **options: object) -> World:
    """Return a world with a job on a daemon, and a credential that fits."""
    world = World(limit=limit)
    world.credentials.kept["nas"] = Credential("ada", SECRET)
    job = a_job(JOB, destination=DAEMON, options={"credential": "nas", **options})
    await world.jobs.create(job, JobState(JOB))
    return world


async def end_of(world: World, run_id: str) -> Run:
    """Return a run that must have ended before anything was started."""
    assert run_id not in world.executor.submitted
    assert status(world) == "failed"
    run = world.runs.kept[run_id]
    assert run.outcome is RunOutcome.FAILED
    return run


@pytest.mark.parametrize("is_dry_run", [False, True])
async def test_a_run_is_made_with_the_user_and_started_with_the_password(is_dry_run: bool) -> None:
    world = await a_world()
    manager = world.manager
    run_id = await (manager.start_dry_run(JOB) if is_dry_run else manager.start_job(JOB))
    assert world.executor.secrets == {run_id: SECRET}
    spec = world.directories.specs[run_id]
    assert spec.daemon_user == "ada"
    assert SECRET not in str(spec.to_document())


async def test_a_run_without_a_credential_is_handed_none() -> None:
    world = await a_world(credential=None)
    run_id = await world.manager.start_job(JOB)
    assert world.executor.secrets == {run_id: None}
    assert world.directories.specs[run_id].daemon_user is None


async def test_rclone_needs_no_user() -> None:
    world = World()
    world.credentials.kept["conf"] = Credential(None, SECRET)
    job = a_job(JOB, engine="rclone", options={"credential": "conf"})
    await world.jobs.create(job, JobState(JOB))
    run_id = await world.manager.start_job(JOB)
    assert world.executor.secrets == {run_id: SECRET}
    assert world.directories.specs[run_id].daemon_user is None


@pytest.mark.parametrize(
    ("kept", "words"),
    [
        (None, "cannot be used: there is none of this name."),
        (Credential(None, SECRET), "it has no user"),
        (Credential("--x", SECRET), "has letters, digits"),
        (Credential("a@b", SECRET), "has letters, digits"),
    ],
)
async def test_a_credential_that_does_not_do_fails_the_run(
    kept: Credential | None, words: str
) -> None:
    world = await a_world(limit=1)
    world.credentials.kept = {} if kept is None else {"nas": kept}
    run = await end_of(world, await world.manager.start_job(JOB))
    assert words in str(run.message)
    assert SECRET not in str(run.message)
    # Its place is free, and the next start looks again.
    world.credentials.kept["nas"] = Credential("ada", SECRET)
    assert await world.manager.start_job(JOB) in world.executor.submitted


async def test_a_run_that_waited_is_started_with_the_password_of_that_moment() -> None:
    world, first, second = await waiting()
    world.credentials.kept["nas"] = Credential("ada", "newer")
    await world.manager.update_job_from_engine(first, [ended()])
    assert world.executor.secrets == {first: None, second: "newer"}


@pytest.mark.parametrize("change", ["user", "job"])
async def test_a_password_goes_only_where_its_job_leads(change: str) -> None:
    world, first, second = await waiting()
    if change == "user":
        world.credentials.kept["nas"] = Credential("bob", "newer")
    else:
        job = a_job(JOB, destination="rsync://other/m/x", options={"credential": "nas"})
        await world.jobs.transform(JOB, lambda record: replace(record, job=job))
    await world.manager.update_job_from_engine(first, [ended()])
    assert "Start the job again." in str((await end_of(world, second)).message)


async def waiting() -> tuple[World, str, str]:
    """Return a world in which one run is under way and that of the daemon's job waits."""
    world = await a_world(limit=1)
    await world.jobs.create(a_job("other"), JobState("other"))
    first = await world.manager.start_job("other")
    second = await world.manager.start_job(JOB)
    assert world.executor.submitted == [first]
    return world, first, second
