"""The description of the API as OpenAPI 3.1 has it: what FastAPI knows of the routes, and beside it
who may call each, every answer that comes before or instead of its own, and what bodies are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute, iter_route_contexts

from fastapi_app import api_shapes
from fastapi_app.access import COOKIE, needed_by
from fastapi_app.api_shapes import SCHEMAS

Answers = dict[int | str, dict[str, Any]]
_ALWAYS = (400, 408, 413, 414, 415, 422, 431, 503)
"""What any request may come to, before a route is looked for: a foreign Host, a request that is
too slow or too long, a form that carries files, a form of a request that nobody knows, a disk or a
server that has no room."""
_OF_CHANGES = (403,)
_OF_GUARDED = (401, 403)
_METHODS = frozenset({"get", "put", "post", "delete", "patch", "head", "options", "trace"})


def refusals(*statuses: int) -> Answers:
    """Return answers for `responses` of a route: those of its own beside what any may come to."""
    return {status: _refusal(status) for status in statuses}


def content_of(schemas: Mapping[str, dict[str, Any]]) -> Answers:
    """Return the answer 200 of a route that makes it itself: a schema for each type of content."""
    content = {kind: {"schema": schema} for kind, schema in schemas.items()}
    return {200: {"description": HTTPStatus.OK.phrase, "content": content}}


TEXT: dict[str, Any] = {"type": "string"}
EXPORT = content_of({"text/csv": TEXT, "application/json": {"type": "array"}})
"""All entries of a log as a file."""


def told(shape: str, *statuses: int, status: int = 200) -> Answers:
    """Return the answer of a route, of a shape by its name, and its own refusals."""
    schema = {"$ref": SCHEMAS + shape}
    content = {"application/json": {"schema": schema}}
    answer = {"description": HTTPStatus(status).phrase, "content": content}
    return {status: answer} | refusals(*statuses)


def body_of(shape: str) -> dict[str, Any]:
    """Return `openapi_extra` of a route that looks at its body itself, to tell all faults."""
    schema = {"$ref": SCHEMAS + shape}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def description_of(app: FastAPI) -> dict[str, Any]:
    """Return the whole description. Takes a moment: call it in a thread."""
    document = get_openapi(
        title=app.title, version=app.version, routes=app.routes, openapi_version="3.1.0"
    )
    schemas = document["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas |= api_shapes.schemas()
    document["components"]["securitySchemes"] = {
        "session": {"type": "apiKey", "in": "cookie", "name": COOKIE},
        "token": {"type": "http", "scheme": "bearer"},
    }
    needed = {
        (context.path_format, method.lower()): needed_by(context.endpoint, context.methods)
        for context in iter_route_contexts(app.routes)
        if isinstance(context.original_route, APIRoute) and context.endpoint is not None
        for method in context.methods or ()
    }
    for path, method, operation in _operations(document):
        for answer in operation["responses"].values():
            for content in answer.get("content", {}).values():
                # Beside the shape that the route names stands what FastAPI makes of a dict.
                if "$ref" in content.get("schema", {}):
                    content["schema"] = {"$ref": content["schema"]["$ref"]}
        is_guarded = needed[path, method] is not None
        operation["security"] = [{"session": []}, {"token": []}] if is_guarded else []
        for status in _statuses(path, method, is_guarded=is_guarded):
            known = operation["responses"].get(str(status), {})
            if "content" not in known or status == HTTPStatus.UNPROCESSABLE_ENTITY:
                operation["responses"][str(status)] = _refusal(status)
            else:
                known["content"].update(_refusal(status)["content"])
    return document


def _statuses(path: str, method: str, *, is_guarded: bool) -> Iterator[int]:
    yield from _ALWAYS
    if is_guarded:
        yield from _OF_GUARDED
    elif method not in {"get", "head"}:
        yield from _OF_CHANGES
    if "{" in path:
        yield HTTPStatus.NOT_FOUND


def _operations(document: Mapping[str, Any]) -> Iterable[tuple[str, str, dict[str, Any]]]:
    for path, operations in document["paths"].items():
        for method in operations.keys() & _METHODS:
            yield path, method, operations[method]


def _refusal(status: int) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": {"$ref": f"{SCHEMAS}Problem"}}}
    return {"description": HTTPStatus(status).phrase, "content": content}
