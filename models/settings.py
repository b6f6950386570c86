"""Settings: what the environment decides. Every variable begins with LONGSHORE_ (contracts.md)."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """The service's settings; durations in seconds."""

    model_config = SettingsConfigDict(env_prefix="LONGSHORE_", frozen=True, extra="ignore")

    data_dir: Path = Path("jobs_data")
    host: str = "127.0.0.1"
    port: int = Field(default=5001, ge=1, le=65535)
    max_concurrent_runs: int = Field(default=4, ge=1, le=1000)
    root_path: str = ""
    """The sub-path under which a reverse proxy serves the dashboard, such as /backup."""
    allowed_hosts: str = ""
    """Further host names, separated by commas, under which the dashboard may be addressed."""
    allow_network: bool = False
    """Whether `longshore serve` may listen where other machines can reach it."""
    stop_grace_seconds: float = Field(default=10, gt=0, le=3600)
    resume_interrupted: bool = False
    """Whether a job that the machine cut off goes on by itself."""
    kept_runs_per_job: int = Field(default=50, ge=1, le=10_000)
    kept_run_days: float = Field(default=90, gt=0, le=36_500)
    """How many ended runs of a job are kept, and for how long; the newest one always is."""
    max_log_megabytes: float = Field(default=20, ge=0.1, le=10_000)
    """How much of a tool's output is kept for one run: its head and its tail."""

    rclone_config: Path | None = None
    """The rclone configuration with the remotes, as an absolute path; None leaves it to rclone."""

    @field_validator("rclone_config", mode="before")
    @classmethod
    def _rclone_config(cls, value: object) -> object:
        if isinstance(value, str) and not value.strip():
            return None
        if value is not None and not Path(str(value)).is_absolute():
            raise ValueError("LONGSHORE_RCLONE_CONFIG must be an absolute path.")
        return value

    @field_validator("root_path")
    @classmethod
    def _root_path(cls, value: str) -> str:
        path = "/" + value.strip("/")
        return "" if path == "/" else path

    @property
    def extra_hosts(self) -> frozenset[str]:
        """The further host names as a set, in lower case."""
        names = (name.strip().lower() for name in self.allowed_hosts.split(","))
        return frozenset(name for name in names if name)
