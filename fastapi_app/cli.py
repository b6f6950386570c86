"""The command line, put together; docs/command-line.md describes every command."""

from __future__ import annotations

import importlib

from fastapi_app.commands import (
    access,
    audit,
    check,
    deletions,
    doctor,
    dry_run,
    error_events,
    failures,
    health,
    interchange,
    job_changes,
    jobs,
    log,
    notifications,
    remotes,
    runs,
    secrets,
    settings,
)
from fastapi_app.commands.console import new_app


def serve() -> None:
    """Serve the dashboard at LONGSHORE_HOST and LONGSHORE_PORT, with LONGSHORE_DATA_DIR."""
    # Loaded for this command alone: it brings the whole application along.
    importlib.import_module("fastapi_app.commands.serve").serve()


app = new_app("Longshore: a self-hosted dashboard for backup jobs.")
app.command("serve")(serve)
app.command("doctor")(doctor.doctor)
app.command("health")(health.health)
app.command("check")(check.check)
app.command("import")(interchange.import_jobs)
app.command("export")(interchange.export_jobs)
job_changes.add_to(jobs.app)
dry_run.add_to(jobs.app, runs.app)
log.add_to(jobs.app, runs.app)
app.add_typer(jobs.app, name="jobs")
failures.add_to(runs.app)
deletions.add_to(runs.app)
app.add_typer(runs.app, name="runs")
app.add_typer(error_events.app, name="errors")
app.add_typer(audit.app, name="audit")
app.add_typer(notifications.app, name="notifications")
app.add_typer(remotes.app, name="remotes")
app.add_typer(secrets.app, name="secrets")
app.add_typer(settings.app, name="settings")
app.command("passwd")(access.passwd)
app.add_typer(access.accounts, name="accounts")
app.add_typer(access.tokens, name="tokens")


def main() -> None:
    """Entry of the `longshore` script."""
    app()


if __name__ == "__main__":
    main()
