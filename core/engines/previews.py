"""The dry runs there are, one for each engine of the registry."""

from __future__ import annotations

from core.engines.preview import Preview
from core.engines.rclone_preview import RclonePreview
from core.engines.rsync_preview import RsyncPreview

PREVIEWS: dict[str, Preview] = {"rsync": RsyncPreview(), "rclone": RclonePreview()}
