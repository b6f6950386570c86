"""`longshore doctor`: what this machine has, and whether the data directory can be used."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from itertools import chain
from typing import Annotated

import typer

from core.allowed_roots import names_of, outside_words
from core.definition_check import told_root_faults
from core.engines.registry import ENGINES
from core.questions import Questions
from core.tools import LocalTools, Tool
from fastapi_app.commands.console import EXIT_FAILED, out, print_json, settings
from fastapi_app.commands.roots import roots_on_disk
from fastapi_app.data_directory import holder_of, url_of_running_server
from storage.import_report import printable
from storage.job_files import JobFiles


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Check tools and data directory; works on the files alone. Exits 1 when something is wrong."""
    given = settings()
    data_dir = given.data_dir.absolute()
    tools = asyncio.run(LocalTools(ENGINES).all())
    usable = os.access(data_dir if data_dir.exists() else data_dir.parent, os.W_OK)
    found = JobFiles(data_dir).look()
    roots, questions = roots_on_disk(given), Questions()
    outside = [
        (job_id, fault)
        for job_id, record in found.records.items()
        for fault in told_root_faults(record.job, roots, questions, str(data_dir))
    ]
    running = url_of_running_server(data_dir)
    if as_json:
        print_json(
            {
                "python": sys.version.split()[0],
                "tools": {tool.engine: tool.version for tool in tools},
                "notices": [tool.notice for tool in tools if tool.notice is not None],
                "data_dir": str(data_dir),
                "data_dir_usable": usable,
                "jobs": len(found.records),
                "damaged": [{"id": job.id, "reason": job.reason} for job in found.damaged.values()],
                "allowed_roots": None if roots is None else list(roots),
                "outside": [{"id": job_id, **fault._asdict()} for job_id, fault in outside],
                "server": running,
            }
        )
    else:
        lines = [
            ("ok", f"Python {sys.version.split()[0]}"),
            *chain.from_iterable(map(_tool_lines, tools)),
        ]
        lines.append(("ok" if usable else "fault", f"data directory {data_dir}"))
        lines.append(("ok", f"{len(found.records)} jobs can be read"))
        lines += [
            ("fault", f"job {job.id} is damaged: {job.reason}") for job in found.damaged.values()
        ]
        lines.append(
            ("ok", f"allowed folders: {names_of(roots) or 'everywhere'}")
            if roots is not None
            else ("fault", f"allowed folders: {outside_words(roots)}")
        )
        lines += [
            ("fault", f"job {job_id} does not run: {fault.field}: {fault.message}")
            for job_id, fault in outside
        ]
        where = f"{running} ({holder_of(data_dir)})" if running else "none runs here"
        lines.append(("ok", f"server: {where}"))
        for mark, text in lines:
            out.print(printable(f"{mark:>5}  {text}"), markup=False, soft_wrap=True)
    refused = outside or roots is None
    if not usable or found.damaged or refused or not any(tool.path for tool in tools):
        raise typer.Exit(EXIT_FAILED)


def _tool_lines(tool: Tool) -> Iterator[tuple[str, str]]:
    if tool.path is None:
        yield "miss", f"{tool.engine} is not installed. {tool.install_hint}"
        return
    yield "ok", f"{tool.engine} {tool.version or 'of an unknown version'} at {tool.path}"
    if tool.notice is not None:
        yield "note", tool.notice
