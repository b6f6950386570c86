"""Settings: what the environment decides at the start, and what can be saved while it runs.

The one table of them: description, unit, bounds and default of each stand here, and page, command
line and documentation take them from here (models/setting_facts.py). The environment goes before
settings.yaml, that before the default. Every variable begins with LONGSHORE_ (contracts.md).
"""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from models.job_part import quoted
from models.location import control_character

PREFIX = "LONGSHORE_"
MAX_CHARACTERS = 4096
_MAX_HOSTS = 100
_MAX_ROOTS = 100
_ROOT_SEPARATOR = ":"
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*\.?")
_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,99}")
_AT_START = "Decided at the start"
_NEXT_RUN = "from the next run on"


def _setting(
    default: Any,
    *,
    title: str,
    description: str,
    section: str,
    effect: str = "",
    unit: str = "",
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
) -> Any:
    """Return a field with all that is told of it; without an effect it needs a restart."""
    extra: dict[str, Any] = {"section": section, "unit": unit, "effect": effect}
    return Field(
        default=default,
        title=title,
        description=description,
        json_schema_extra=extra,
        ge=ge,
        gt=gt,
        le=le,
    )


def _is_address(name: str) -> bool:
    """Whether a name is an address: it is let in anyhow, and need not be taken out for that."""
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


def _root_fault(root: str) -> str | None:
    escape = control_character(root)
    if escape is not None:
        return f"A path must not contain the control character {escape}."
    if len(root) > MAX_CHARACTERS:
        return f"A path has at most {MAX_CHARACTERS:,} characters."
    if not root.startswith("/"):
        return f"{quoted(root)} is not an absolute folder, which begins with “/”."
    if ".." in root.split("/"):
        # Behind a link the two dots lead elsewhere than they look.
        return f"{quoted(root)} must not contain “..”: write where it really leads."
    if _ROOT_SEPARATOR in root:
        return f"{quoted(root)} has a “:” in its name, which parts the folders here."
    return None


class SavedSettings(BaseModel):
    """What can be changed while the dashboard runs. Durations in seconds, unless a name says it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    max_concurrent_runs: int = _setting(
        4,
        title="Runs at once",
        description="How many runs go on at once; further ones wait as queued.",
        section="Runs",
        effect="at once",
        unit="runs",
        ge=1,
        le=1000,
    )
    stop_grace_seconds: float = _setting(
        10,
        title="Grace after a stop",
        description="How long a stopped tool may take to end before it is killed.",
        section="Runs",
        effect=_NEXT_RUN,
        unit="seconds",
        gt=0,
        le=3600,
    )
    resume_interrupted: bool = _setting(
        False,
        title="Resume interrupted jobs",
        description="Whether a job that was cut off by the machine or the end of its container "
        "goes on by itself.",
        section="Runs",
        effect="at once",
    )
    kept_runs_per_job: int = _setting(
        50,
        title="Runs kept of a job",
        description="How many ended runs of a job are kept; older ones are removed.",
        section="History and logs",
        effect="within the hour",
        unit="runs",
        ge=1,
        le=10_000,
    )
    kept_run_days: float = _setting(
        90,
        title="Runs kept for",
        description="For how many days an ended run is kept; the newest one of a job always is.",
        section="History and logs",
        effect="within the hour",
        unit="days",
        gt=0,
        le=36_500,
    )
    kept_errors: int = _setting(
        10_000,
        title="Errors kept",
        description="How many errors are kept; beyond that the oldest go, unresolved ones last.",
        section="History and logs",
        effect="at once",
        unit="errors",
        ge=100,
        le=100_000,
    )
    kept_error_days: float = _setting(
        90,
        title="Errors kept for",
        description="For how many days an error is kept after it was resolved.",
        section="History and logs",
        effect="at once",
        unit="days",
        gt=0,
        le=36_500,
    )
    kept_audit_days: float = _setting(
        365,
        title="Audit log kept for",
        description="For how many days it is kept who did what; beyond 100,000 entries the oldest "
        "go before that.",
        section="History and logs",
        effect="within the hour",
        unit="days",
        ge=30,
        le=36_500,
    )
    max_log_megabytes: float = _setting(
        20,
        title="Log of a run",
        description="How much of a tool’s output is kept for one run: its head and its tail.",
        section="History and logs",
        effect=_NEXT_RUN,
        unit="MB",
        ge=0.1,
        le=10_000,
    )
    rclone_config: Path | None = _setting(
        None,
        title="rclone configuration",
        description="The file with the remotes, as an absolute path; empty leaves it to rclone.",
        section="Engines",
        effect=_NEXT_RUN,
    )
    allowed_hosts: str = _setting(
        "",
        title="Further host names",
        description="Host names, separated by commas, under which the dashboard may be addressed "
        "beside localhost and the addresses of the machine.",
        section="Access",
        effect="at once",
    )
    allowed_roots: str = _setting(
        "",
        title="Allowed folders",
        description="Absolute folders, separated by “:”, within which sources, local destinations "
        "and the folder browser stay; empty means everywhere.",
        section="Access",
        effect="at once",
    )

    session_idle_hours: float = _setting(
        168,
        title="End of unused sessions",
        description="After how many hours without a request whoever is signed in has to sign in "
        "again.",
        section="Access",
        effect="at once",
        unit="hours",
        gt=0,
        le=8760,
    )
    metrics_max_jobs: int = _setting(
        1000,
        title="Jobs in the metrics",
        description="Of how many jobs /metrics tells each one by name, the first ones by name; "
        "totals are of all.",
        section="Monitoring",
        effect="at once",
        unit="jobs",
        ge=0,
        le=100_000,
    )

    @field_validator(
        "max_concurrent_runs",
        "stop_grace_seconds",
        "kept_runs_per_job",
        "kept_run_days",
        "kept_errors",
        "kept_error_days",
        "kept_audit_days",
        "max_log_megabytes",
        "session_idle_hours",
        "metrics_max_jobs",
        mode="before",
    )
    @classmethod
    def _no_switch(cls, value: object) -> object:
        # Pydantic would take true for 1.
        if isinstance(value, bool):
            raise ValueError("This must be a number.")
        return value

    @field_validator("rclone_config", mode="before")
    @classmethod
    def _rclone_config(cls, value: object) -> object:
        if value is None or (isinstance(value, str) and not value.strip()):
            return None
        if not isinstance(value, str | Path):
            raise ValueError("This must be text.")
        path = str(value).strip()
        escape = control_character(path)
        if escape is not None:
            raise ValueError(f"A path must not contain the control character {escape}.")
        if len(path) > MAX_CHARACTERS:
            raise ValueError(f"A path has at most {MAX_CHARACTERS:,} characters.")
        if not Path(path).is_absolute():
            raise ValueError("This must be an absolute path, which begins with “/”.")
        return path

    @field_validator("allowed_hosts", mode="before")
    @classmethod
    def _hosts(cls, value: object) -> object:
        if value is None:
            return ""
        if isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
            value = ",".join(value)
        if not isinstance(value, str):
            raise ValueError("This must be host names, separated by commas.")
        names = [name for part in value.split(",") if (name := part.strip().lower())]
        for name in names:
            if not _HOST.fullmatch(name) and not _is_address(name):
                raise ValueError(
                    f"{quoted(name)} is not a host name. Write it without scheme, port and path, "
                    "such as backup.example.org."
                )
        if len(names) > _MAX_HOSTS:
            raise ValueError(f"There can be at most {_MAX_HOSTS} host names.")
        return ", ".join(dict.fromkeys(names))

    @field_validator("allowed_roots", mode="before")
    @classmethod
    def _roots(cls, value: object) -> object:
        if value is None:
            return ""
        if isinstance(value, str):
            value = value.split(_ROOT_SEPARATOR)
        if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
            raise ValueError("This must be absolute folders, separated by “:”.")
        roots = [root for part in value if (root := part.strip())]
        for root in roots:
            fault = _root_fault(root)
            if fault is not None:
                raise ValueError(fault)
        if len(roots) > _MAX_ROOTS:
            raise ValueError(f"There can be at most {_MAX_ROOTS} folders.")
        plain = ("/" + os.path.normpath(root).lstrip("/") for root in roots)
        return _ROOT_SEPARATOR.join(dict.fromkeys(plain))

    @property
    def root_folders(self) -> tuple[str, ...]:
        """The allowed folders; without any, everything is allowed."""
        return tuple(root for root in self.allowed_roots.split(_ROOT_SEPARATOR) if root)

    @property
    def extra_hosts(self) -> frozenset[str]:
        """The further host names as a set, in lower case."""
        names = (name.strip().lower() for name in self.allowed_hosts.split(","))
        return frozenset(name for name in names if name)


class Settings(BaseSettings, SavedSettings):
    """The service's settings as the environment has them: `model_fields_set` is what it decides."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    data_dir: Path = _setting(
        Path("jobs_data"),
        title="Data directory",
        description="All state: nothing is written anywhere else.",
        section=_AT_START,
    )
    host: str = _setting(
        "127.0.0.1",
        title="Address",
        description="The address it listens on.",
        section=_AT_START,
    )
    port: int = _setting(
        5001,
        title="Port",
        description="The port it listens on.",
        section=_AT_START,
        ge=1,
        le=65535,
    )
    root_path: str = _setting(
        "",
        title="Sub-path",
        description="The sub-path under which a reverse proxy serves it, such as /backup.",
        section=_AT_START,
    )
    trusted_proxies: str = _setting(
        "",
        title="Trusted proxies",
        description="Addresses or networks, separated by commas, of the reverse proxies whose word "
        "is taken on where a request comes from, and on who sends it.",
        section=_AT_START,
    )
    open_behind_proxy: bool = _setting(
        False,
        title="Open behind a proxy",
        description="Whether, while there is no account, whoever comes through a proxy may do "
        "everything: for a proxy that asks for a password itself.",
        section=_AT_START,
    )
    user_header: str = _setting(
        "",
        title="User header",
        description="The header in which a trusted proxy names the account, such as Remote-User; "
        "empty takes no proxy’s word for that.",
        section=_AT_START,
    )
    metrics_readers: str = _setting(
        "",
        title="Readers of the metrics",
        description="Addresses or networks, separated by commas, that read /metrics without a "
        "token once there is a password.",
        section=_AT_START,
    )
    log_format: Literal["human", "json"] = _setting(
        "human",
        title="Form of the log",
        description="How lines of the service’s log look: human, or json for programs.",
        section=_AT_START,
    )
    log_level: Literal["debug", "info", "warning", "error"] = _setting(
        "info",
        title="Level of the log",
        description="What the service’s log has at least: debug, info, warning or error.",
        section=_AT_START,
    )
    access_log: bool = _setting(
        False,
        title="Log of requests",
        description="Whether the service’s log has each request.",
        section=_AT_START,
    )

    @field_validator("log_format", "log_level", mode="before")
    @classmethod
    def _in_lower_case(cls, value: object) -> object:
        return value.strip().lower() if isinstance(value, str) else value

    @field_validator("trusted_proxies", "metrics_readers")
    @classmethod
    def _networks(cls, value: str) -> str:
        networks = [part.strip() for part in value.split(",") if part.strip()]
        for network in networks:
            try:
                ipaddress.ip_network(network, strict=False)
            except ValueError:
                raise ValueError(
                    f"{quoted(network)} is neither an address nor a network such as 10.0.0.0/8."
                ) from None
        return ", ".join(networks)

    @field_validator("user_header")
    @classmethod
    def _header(cls, value: str) -> str:
        if value and not _HEADER.fullmatch(value):
            raise ValueError(f"{quoted(value)} cannot be the name of a header.")
        return value

    @field_validator("root_path")
    @classmethod
    def _root_path(cls, value: str) -> str:
        path = "/" + value.strip("/")
        return "" if path == "/" else path

    def with_saved(self, saved: SavedSettings) -> Settings:
        """Return the settings in force: what was decided at the start goes before what is saved."""
        chosen = saved.model_fields_set - self.model_fields_set
        return self.model_copy(update={name: getattr(saved, name) for name in chosen})
