"""A whole dashboard on the loop of a benchmark, for what is measured from within."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi_app.application import create_app
from fastapi_app.commands.serve import put_the_loop_first
from fastapi_app.services import Services
from models.settings import Settings


@asynccontextmanager
async def dashboard(settings: Settings) -> AsyncIterator[Services]:
    """Run it as `longshore serve` does."""
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        put_the_loop_first()
        try:
            yield app.state.services
        finally:
            gc.unfreeze()
