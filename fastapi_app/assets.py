"""Static files: read once at the start, and served from memory under an address with their version.

What stands at such an address never changes, so that browsers keep it for a year; an upgrade has
addresses of its own, also for what scripts import of one another. All style sheets that every page
needs are one, in this order.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from fastapi_app.compression import accepts_gzip

STATIC = Path(__file__).parent / "static"
ALL_SHEETS = "css/all.css"
SHEETS = (
    "tokens",
    "base",
    "frame",
    "components",
    "figures",
    "lists",
    "dashboard",
    "jobs",
    "log",
    "forms",
    "browser",
    "pages",
    "failures",
    "preview",
    "deletions",
    "keys",
    "settings",
    "notifications",
    "bell",
    "errors",
    "access",
    "audit",
)
_KEPT = "public, max-age=31536000, immutable"
_ASKED_FOR_EACH_TIME = "no-cache"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_ANY_TYPE = "text/plain; charset=utf-8"
_VERSION = re.compile(r"[0-9a-f]{8}")


@dataclass(frozen=True)
class _Asset:
    content: bytes
    zipped: bytes
    tag: str
    media_type: str


class Assets:
    """The files of a folder as they were when this was made."""

    def __init__(self, folder: Path = STATIC) -> None:
        contents = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        contents[ALL_SHEETS] = b"\n".join(contents[f"css/{name}.css"] for name in SHEETS)
        self._assets = {name: _asset(name, content) for name, content in contents.items()}
        tags = "".join(f"{name} {asset.tag}\n" for name, asset in self._assets.items())
        self.version = hashlib.sha256(tags.encode()).hexdigest()[:8]

    def path_of(self, name: str) -> str:
        """Return the path of a file that pages refer to."""
        return f"{self.version}/{name}"

    async def serve(self, request: Request) -> Response:
        """Answer for one file, as short as the browser allows."""
        path: str = request.path_params["path"]
        version, _, name = path.partition("/")
        if not _VERSION.fullmatch(version):
            version, name = "", path
        asset = self._assets.get(name)
        if asset is None:
            raise HTTPException(404)
        # One of another version is asked for by a page from before an upgrade.
        cache = _KEPT if version == self.version else _ASKED_FOR_EACH_TIME
        zips = len(asset.zipped) < len(asset.content) and accepts_gzip(request.headers)
        tag = f'"{asset.tag}{"-gzip" if zips else ""}"'
        headers = {"Cache-Control": cache, "ETag": tag, "Vary": "Accept-Encoding"}
        if tag in request.headers.get("If-None-Match", ""):
            return Response(status_code=304, headers=headers)
        if zips:
            headers["Content-Encoding"] = "gzip"
        content = asset.zipped if zips else asset.content
        return Response(content, headers=headers, media_type=asset.media_type)


def _asset(name: str, content: bytes) -> _Asset:
    tag = hashlib.sha256(content).hexdigest()[:16]
    media_type = _TYPES.get(Path(name).suffix, _ANY_TYPE)
    return _Asset(content, gzip.compress(content, mtime=0), tag, media_type)
