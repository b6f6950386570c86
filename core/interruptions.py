"""Why a run was cut off, as far as the system can tell."""

from __future__ import annotations

from utils.process_identity import ProcessIdentity, boot_id

NOT_OURS = (
    "It was ended from outside: the machine was shut down, or somebody ended its runner. The job "
    "can be resumed."
)
NEVER_BEGAN = "It was cut off before it began. The job can be started again."
RESTARTED = "The machine was restarted while it ran. The job can be resumed."
RUNNER_GONE = (
    "Its runner went away: killed by somebody, by the system for want of memory, or with its "
    "container. The job can be resumed."
)


_GOES_ON = ("The job can be resumed.", "The job can be started again.")
_DRY_RUN_AGAIN = "The dry run can be started again."


def of_dry_run(reason: str) -> str:
    """Return a reason as it is told of a dry run, which leaves nothing to be resumed."""
    for sentence in _GOES_ON:
        reason = reason.replace(sentence, _DRY_RUN_AGAIN)
    return reason


def why_interrupted(runner: ProcessIdentity | None) -> str:
    """Return the reason, for people, out of who the runner was as its journal tells."""
    if runner is None:
        return NEVER_BEGAN
    return RUNNER_GONE if runner.boot_id == boot_id() else RESTARTED
