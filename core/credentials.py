"""Which user a run is made with, and which password its runner is handed when it starts."""

from __future__ import annotations

from collections.abc import Mapping

from core.engines.rsync_remote import is_daemon_user
from core.ports import Credentials
from models.credential import SECRET_PREFIX, Credential
from models.errors import CredentialUnusable
from models.job import Job
from models.remote import RSYNC_SCHEME
from models.run_spec import PASSWORD_VARIABLE, RunSpec

_CHANGED = "the job or its credential was changed while the run waited. Start the job again."


async def user_for(credentials: Credentials, job: Job) -> str | None:
    """Return the user's name for the job's daemon; None where none is needed or to be had: the
    start of the run says why."""
    name = job.options.credential
    if name is None or not _is_on_daemon(job.source, job.destination):
        return None
    try:
        return _daemon_user(name, await credentials.find(name))
    except CredentialUnusable:
        return None


async def secret_for(credentials: Credentials, job: Job, spec: RunSpec) -> str | None:
    """Return the password for a run that starts now, or None when its job has none.

    Raises CredentialUnusable, also when the job has been changed since the run was made: the
    password of one place is not for another.
    """
    name = job.options.credential
    if name is None:
        return None
    if (spec.engine, spec.source, spec.destination) != (job.engine, job.source, job.destination):
        raise CredentialUnusable(name, _CHANGED)
    found = await credentials.find(name)
    is_on_daemon = _is_on_daemon(spec.source, spec.destination)
    if is_on_daemon and _daemon_user(name, found) != spec.daemon_user:
        raise CredentialUnusable(name, _CHANGED)
    return found.password


def environment_with(inherited: Mapping[str, str], password: str | None) -> dict[str, str]:
    """Return the environment of what is started: with this one password, and none of the others
    that the service's own environment may hold."""
    kept = {
        name: value
        for name, value in inherited.items()
        if not name.startswith(SECRET_PREFIX) and name != PASSWORD_VARIABLE
    }
    return kept if password is None else {**kept, PASSWORD_VARIABLE: password}


def _is_on_daemon(source: str, destination: str) -> bool:
    return source.startswith(RSYNC_SCHEME) or destination.startswith(RSYNC_SCHEME)


def _daemon_user(name: str, found: Credential) -> str:
    if found.user is None:
        raise CredentialUnusable(name, "it has no user, and an rsync daemon asks for one.")
    if not is_daemon_user(found.user):
        raise CredentialUnusable(
            name, "the user’s name of an rsync daemon has letters, digits and “_.+-”."
        )
    return found.user
