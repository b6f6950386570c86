"""What a destination really is, so that two spellings of one folder are known as one."""

from __future__ import annotations

import os

from core.patience import ask
from core.questions import Questions, reach
from core.real_paths import Touch
from models.errors import NoAnswer

_PATIENCE_SECONDS = 2.0


class Destinations:
    """Resolves symbolic links; a mount that hangs delays the one job, and nobody else."""

    def __init__(self, questions: Questions) -> None:
        self._questions = questions

    async def key_of(self, location: str) -> str:
        """Return the real path of a local destination, and a remote one as it is written.

        After two seconds without an answer, and at once where that is known to come, a path is
        taken as it is written.
        """
        if not location.startswith("/"):
            return location.rstrip("/")

        def look(touch: Touch) -> str:
            reach(location, touch)
            return os.path.realpath(location)

        try:
            return await ask(self._questions, look, seconds=_PATIENCE_SECONDS)
        except NoAnswer:
            return os.path.normpath(location)  # noqa: ASYNC240 - looks at the text alone
