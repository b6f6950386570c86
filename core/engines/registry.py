"""The engines there are, as one literal table."""

from __future__ import annotations

from core.engines.base import Engine
from core.engines.rclone import RcloneEngine
from core.engines.rsync import RsyncEngine

ENGINES: dict[str, Engine] = {"rsync": RsyncEngine(), "rclone": RcloneEngine()}
