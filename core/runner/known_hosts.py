"""The file with the keys of hosts that jobs over ssh accepted."""

from __future__ import annotations

import os

from core.engines.rsync_remote import is_over_ssh
from models.run_spec import RunSpec


def make_known_hosts(spec: RunSpec) -> None:
    """Make it with the mode of everything in the data directory, where it is missing.

    When that cannot be done ssh goes by the person's own file, and says what is wrong.
    """
    if spec.known_hosts_path is None or not is_over_ssh(spec):
        return
    try:
        os.close(os.open(spec.known_hosts_path, os.O_CREAT | os.O_RDONLY | os.O_CLOEXEC, 0o600))
    except OSError:
        return
