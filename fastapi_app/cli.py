"""The command line: `longshore serve | doctor | jobs … | runs …` (contracts.md)."""

from __future__ import annotations

from fastapi_app.commands import doctor, jobs, runs, serve
from fastapi_app.commands.console import new_app

app = new_app("Longshore: a self-hosted dashboard for backup jobs.")
app.command("serve")(serve.serve)
app.command("doctor")(doctor.doctor)
app.add_typer(jobs.app, name="jobs")
app.add_typer(runs.app, name="runs")


def main() -> None:
    """Entry of the `longshore` script."""
    app()


if __name__ == "__main__":
    main()
