"""What a job leaves whose file is gone: its state, its backup, what was kept aside.

Kept for a month from the first start that misses the file, so that putting it back brings all of it
back; a mark beside the state tells when that was. Files of other names are a person's own.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Set

from models.job import JOB_ID

RETENTION_SECONDS = 30 * 86_400
_MARK = ".yaml.gone"
_OURS = re.compile(r"^(?P<id>[^.]+)\.yaml(?:\.bak|\.gone|\.damaged-.+)?$")
_logger = logging.getLogger(__name__)


def tidy(jobs_directory: str, states_directory: str, *, kept: Set[str]) -> None:
    """Mark what belongs to no job of `kept`, and remove what was marked a month ago.

    Blocking. A failure is logged: the next start tries again.
    """
    try:
        _tidy((jobs_directory, states_directory), states_directory, kept)
    except OSError as error:
        _logger.warning("what is left of jobs that are gone could not be tidied: %s", error)


def _tidy(directories: tuple[str, str], marks: str, kept: Set[str]) -> None:
    files: dict[str, list[str]] = {}
    for directory in directories:
        for name in os.listdir(directory):
            match = _OURS.match(name)
            if match and JOB_ID.match(match["id"]):
                files.setdefault(match["id"], []).append(os.path.join(directory, name))
    oldest = time.time() - RETENTION_SECONDS
    for job_id, paths in files.items():
        mark = os.path.join(marks, job_id + _MARK)
        if job_id in kept:
            if mark in paths:
                os.unlink(mark)
        elif mark not in paths:
            os.close(os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        elif os.stat(mark).st_mtime < oldest:
            # The mark last: should the machine stop in between, the rest is found again.
            for path in sorted(paths, key=mark.__eq__):
                os.unlink(path)
