"""What makes the addresses of pages and files, under whatever sub-path."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from fastapi import FastAPI


def url_maker(app: FastAPI, root_path: str) -> Callable[..., str]:
    """Return what makes addresses. Those of a route differ in their parameters alone: looking for
    the route each time was half of the time that a list of jobs took."""

    @cache
    def form_of(name: str, parameters: tuple[str, ...]) -> str:
        placeholders = {parameter: f"{{{parameter}}}" for parameter in parameters}
        return root_path.replace("{", "{{").replace("}", "}}") + str(
            app.url_path_for(name, **placeholders)
        )

    @cache
    def static(path: str) -> str:
        return root_path + str(app.url_path_for("static", path=app.state.assets.path_of(path)))

    def url(name: str, **parameters: Any) -> str:
        if name == "static":
            return static(parameters["path"])
        texts = {parameter: str(value) for parameter, value in parameters.items()}
        if all(text and "/" not in text for text in texts.values()):
            return form_of(name, tuple(texts)).format_map(texts)
        return root_path + str(app.url_path_for(name, **parameters))

    return url
