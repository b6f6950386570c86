"""How rsync reaches another machine: the arguments that say where it is, and how long to wait.

`ssh` is called by rsync with options that leave nothing to ask: what would need a person's answer
fails at once.
"""

from __future__ import annotations

import re

from core.engines.base import source_argument
from models.remote import RSYNC_SCHEME, SSH_SCHEME, ssh_location
from models.run_spec import RunSpec

IO_TIMEOUT_SECONDS = 20
"""How long the other side may be silent. Nothing else tells rsync of a cut link for a quarter of an
hour; TCP outlives a shorter cut by itself. While the other side is at work it is silent for much
less: rsync's two sides nod to each other every half of this."""
HASHING_TIMEOUT_SECONDS = 6 * 3600
"""The same where files are compared by checksum: rsync does not nod while it hashes one file, and
hours are what a disk needs for a file of terabytes. A dead machine is noticed by TCP itself, or by
ssh."""
CONNECT_TIMEOUT_SECONDS = 10
"""Three attempts of TCP to connect (after 1, 3 and 7 s); the next one of ours begins afresh."""
ALIVE_INTERVAL_SECONDS = 10
ALIVE_COUNT = 3
"""ssh asks so often whether the other host is there, and gives up after so many silences."""
_HOST_KEYS = {"strict": "yes", "accept_new": "accept-new"}
_USERS_KNOWN_HOSTS = "~/.ssh/known_hosts ~/.ssh/known_hosts2"
_SPECIAL_TO_SSH = frozenset("\"'\\%$\n\r\0")
_DAEMON_USER = r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,63}"


def is_over_ssh(spec: RunSpec) -> bool:
    """Whether one of the two locations is reached by ssh."""
    return spec.source.startswith(SSH_SCHEME) or spec.destination.startswith(SSH_SCHEME)


def network_options(spec: RunSpec, *, hashes: bool = False) -> list[str]:
    """Arguments for the way to the other machine; `hashes` when files are compared by checksum."""
    seconds = spec.timeout_seconds
    if spec.is_remote:
        seconds = seconds or IO_TIMEOUT_SECONDS
    if seconds is not None and hashes:
        seconds = max(seconds, HASHING_TIMEOUT_SECONDS)
    options = [] if seconds is None else [f"--timeout={seconds}"]
    if is_over_ssh(spec):
        # Without -s the shell of the other host would take a path apart (rsync(1),
        # --secluded-args, in older versions --protect-args).
        return [*options, "-s", f"--rsh={remote_shell(spec)}"]
    if spec.is_remote:
        options += [f"--contimeout={CONNECT_TIMEOUT_SECONDS}", "--sockopts=SO_KEEPALIVE"]
    return options


def remote_shell(spec: RunSpec) -> str:
    """Return how rsync shall call ssh (ssh(1), ssh_config(5)), as one text: rsync splits it at
    blanks and takes quotation marks away; no shell sees it."""
    place = ssh_location(spec.source if spec.source.startswith(SSH_SCHEME) else spec.destination)
    words = [
        "ssh",
        "-oBatchMode=yes",
        f"-oStrictHostKeyChecking={_HOST_KEYS[spec.ssh_host_keys]}",
        f"-oConnectTimeout={CONNECT_TIMEOUT_SECONDS}",
        f"-oServerAliveInterval={ALIVE_INTERVAL_SECONDS}",
        f"-oServerAliveCountMax={ALIVE_COUNT}",
        "-oRequestTTY=no",
        "-oForwardAgent=no",
        "-oForwardX11=no",
        "-oClearAllForwardings=yes",
        "-oTunnel=no",
        "-oPermitLocalCommand=no",
        "-oRemoteCommand=none",
        # A connection that is shared would outlive the run, or end with another one.
        "-oControlMaster=no",
        "-oControlPath=none",
        # The words by which failures are told apart (core/engines/rsync_refusals.py).
        "-oLogLevel=INFO",
    ]
    if spec.known_hosts_path is not None and is_plain_to_ssh(spec.known_hosts_path):
        # New keys go into the first one.
        files = f'"{spec.known_hosts_path}" {_USERS_KNOWN_HOSTS}'
        words.append(f"-oUserKnownHostsFile={files}")
    if spec.ssh_identity is not None:
        if not is_plain_to_ssh(spec.ssh_identity):
            raise ValueError("The path of the ssh key has a character that ssh would expand.")
        words += ["-oIdentitiesOnly=yes", f'-oIdentityFile="{spec.ssh_identity}"']
    if place.port is not None:
        words.append(f"-p{place.port}")
    return " ".join(_quoted(word) for word in words)


def is_plain_to_ssh(path: str) -> bool:
    """Whether ssh takes a path in its options as it is written: it expands %, $ and a leading ~,
    and takes quotation marks and backslashes away (ssh_config(5), TOKENS)."""
    return path.startswith("/") and not _SPECIAL_TO_SSH.intersection(path)


def locations(spec: RunSpec, *, is_directory: bool) -> list[str]:
    """Return source and destination as rsync is given them, behind `--`."""
    source = source_argument(spec, is_directory=is_directory)
    return ["--", _location(source, spec), destination_argument(spec)]


def destination_argument(spec: RunSpec) -> str:
    """Return the destination as rsync is given it: always a folder."""
    return _location(spec.destination.rstrip("/") + "/", spec)


def _location(location: str, spec: RunSpec) -> str:
    if location.startswith(SSH_SCHEME):
        place = ssh_location(location)
        user = f"{place.user}@" if place.user is not None else ""
        return f"{user}{place.host}:{place.path}"
    if location.startswith(RSYNC_SCHEME) and spec.daemon_user is not None:
        if not is_daemon_user(spec.daemon_user):
            raise ValueError("The user’s name of an rsync daemon has letters, digits and “_.+-”.")
        return f"{RSYNC_SCHEME}{spec.daemon_user}@{location.removeprefix(RSYNC_SCHEME)}"
    return location


def is_daemon_user(name: str) -> bool:
    """Whether a user's name on a daemon can stand in a URL as it is."""
    return re.fullmatch(_DAEMON_USER, name) is not None


def _quoted(word: str) -> str:
    # rsync knows no backslash: a quotation mark within quotation marks is doubled (rsync(1), -e).
    if not set(word) & set(" '\""):
        return word
    return '"' + word.replace('"', '""') + '"'
