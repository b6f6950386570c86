"""The folder at the destination for what is replaced or deleted there: it must be no way out.

Standard library only: the runner uses this. Blocking.
"""

from __future__ import annotations

import os
import stat

from models.run_spec import RunSpec


def kept_folder_fault(spec: RunSpec) -> str | None:
    """Return why nothing can be kept at a destination on this machine, as a sentence, or None.

    The tools follow a symbolic link in the folder's place, and would write to wherever it leads.
    One on another machine cannot be looked at.
    """
    if spec.keep_replaced_in is None or spec.destination_is_remote:
        return None
    path = spec.destination
    for name in spec.keep_replaced_in.split("/"):
        path = os.path.join(path, name)
        try:
            mode = os.lstat(path).st_mode
        except FileNotFoundError:
            return None
        except OSError as error:
            return f"Destination: {path} cannot be looked at: {error.strerror}."
        if not stat.S_ISDIR(mode):
            return (
                f"Destination: {path} is not a folder of its own: what is replaced could not be "
                "kept there. Remove it, and start the job again."
            )
    return None
