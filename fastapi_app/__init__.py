"""The outside: HTTP, WebSocket, pages and command line.

`create_app` makes the application; its lifespan composes the parts. `fastapi_app:app` is made when
it is asked for, for `uvicorn fastapi_app:app`.
"""

from __future__ import annotations

import importlib
from typing import Any


def __getattr__(name: str) -> Any:
    # Loaded when it is asked for (PEP 562): commands that only talk to a server, or look at files,
    # would otherwise wait a second for the whole application.
    if name not in {"app", "create_app"}:
        raise AttributeError(name)
    create_app = importlib.import_module("fastapi_app.application").create_app
    return create_app() if name == "app" else create_app
