"""Makes the pictures of the README: `python -m tests.browser.screenshots`.

A server with a handful of jobs that ran for real, photographed as a visitor sees it.
"""

from __future__ import annotations

import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from tests.browser.visitor import DESK, Visitor, card, expect_live, expect_status, launch
from tests.support import PROJECT_ROOT, RunningServer, wait_until

PICTURES = PROJECT_ROOT / "docs" / "screenshots"
_HEIGHT = 760
_MEBIBYTE = 1024 * 1024
_ENDED = {"completed", "failed", "paused"}


@contextmanager
def _place() -> Iterator[Path]:
    """Make a folder with a short name: its path stands on the pictures."""
    place = Path(tempfile.gettempdir()) / "demo"
    place.mkdir()
    try:
        yield place
    finally:
        shutil.rmtree(place)


def _fill(folder: Path, names: list[str], mebibytes: float, seed: int) -> None:
    """Write files that share so much space unevenly."""
    chance = random.Random(seed)
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        size = mebibytes * _MEBIBYTE / len(names) * chance.uniform(0.5, 1.5)
        path.write_bytes(chance.randbytes(int(size)))


def _wait(server: RunningServer, job_id: str, *statuses: str) -> None:
    wait_until(
        lambda: server.state(job_id)["status"] in statuses,
        seconds=120,
        what=f"{job_id} as {statuses}",
    )


def _run_often(server: RunningServer, job_id: str, source: Path, times: int) -> None:
    """Run a job again and again, each time with something new in its source."""
    chance = random.Random(job_id[:4])
    for number in range(times):
        new = source / f"new-{number:02d}.dat"
        new.write_bytes(chance.randbytes(int(chance.uniform(0.1, 1.6) * _MEBIBYTE)))
        server.start_job(job_id)
        _wait(server, job_id, *_ENDED)


def _limit(server: RunningServer, job_id: str, limit: str) -> None:
    """Change a job's limit: what is changed is counted anew and not taken for the last run."""
    address = f"/api/v1/jobs/{job_id}"
    read = server.http.get(address)
    job = read.json()
    changed = job | {"options": job["options"] | {"bandwidth_limit": limit}}
    server.http.put(
        address, json=changed, headers={"If-Match": read.headers["etag"]}
    ).raise_for_status()


def _percent(server: RunningServer, job_id: str) -> float:
    return float((server.state(job_id)["progress"] or {}).get("percent") or 0)


def _furnish(server: RunningServer, place: Path) -> str:
    """Make the jobs and their history; returns the one that is under way."""

    def create(name: str, source: str, destination: str, limit: str, **fields: Any) -> str:
        (place / source).mkdir(parents=True, exist_ok=True)
        return server.create_job(
            place / source,
            place / destination,
            name=name,
            verification="fast",
            **{"options": {"bandwidth_limit": limit}, **fields},
        )

    trips = ("Lisbon", "Garden", "Alps", "Harbour")
    photos = [f"{trip}/IMG_{4100 + n:04d}.jpg" for n, trip in enumerate(trips * 24)]
    mail = [f"archive/2026-{month:02d}.mbox" for month in range(1, 12)]
    _fill(place / "documents", [f"letters/letter {n:03d}.odt" for n in range(60)], 2, 1)
    _fill(place / "mail", mail, 2, 2)
    _fill(place / "music", [f"album {n // 10}/{n % 10:02d} track.flac" for n in range(40)], 4, 3)
    _fill(place / "machines", ["media-server.qcow2"], 24, 4)

    running = create("Photos to NAS", "photos", "nas/photos", "40M")
    documents = create("Documents", "documents", "nas/documents", "4M")
    letters = create("Mail archive", "mail", "usb-disk/mail", "4M")
    music = create("Music library", "music", "usb-disk/music", "6M")
    machine = create("Virtual machines", "machines", "nas/machines", "8M")
    create("Camera card", "camera", "nas/camera", "20M")

    with ThreadPoolExecutor() as pool:
        for work in [
            pool.submit(_run_often, server, running, place / "photos", 12),
            pool.submit(_run_often, server, documents, place / "documents", 18),
            pool.submit(_run_often, server, letters, place / "mail", 8),
            pool.submit(_run_often, server, music, place / "music", 14),
        ]:
            work.result()

    for job_id, source in ((documents, "documents"), (letters, "mail"), (music, "music")):
        _run_often(server, job_id, place / source, 1)
    # One fails because its disk is gone, one was stopped at about half, one is under way.
    (place / "mail").rename(place / "mail, unplugged")
    server.start_job(letters)
    _wait(server, letters, "failed")
    server.start_job(machine)
    wait_until(lambda: _percent(server, machine) > 45, what="half of the machine")
    server.http.post(f"/api/v1/jobs/{machine}/stop")
    _wait(server, machine, "paused")
    _fill(place / "photos", photos, 48, 5)
    _limit(server, running, "4M")
    server.start_job(running)
    return running


def main() -> None:
    """Write both pictures."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    with _place() as place, sync_playwright() as playwright:
        server = RunningServer(place / "data")
        server.start()
        chromium = launch(playwright.chromium)
        visitor = Visitor(chromium)
        try:
            job_id = _furnish(server, place)
            page = visitor.open(f"{server.url}/", width=DESK, height=_HEIGHT)
            expect_live(page)
            expect_status(card(page, job_id), "running")
            wait_until(lambda: _percent(server, job_id) > 35, seconds=60, what="some of it")
            height = page.evaluate("() => document.documentElement.scrollHeight")
            page.set_viewport_size({"width": DESK, "height": height})
            page.screenshot(path=PICTURES / "dashboard.png")
            run_id = server.state(job_id)["run_id"]
            page = visitor.open(f"{server.url}/runs/{run_id}", height=_HEIGHT, dark=True)
            expect_live(page)
            wait_until(lambda: _percent(server, job_id) > 60, seconds=60, what="more of it")
            page.screenshot(path=PICTURES / "run.png")
        finally:
            visitor.close()
            chromium.close()
            server.close()
    for picture in sorted(PICTURES.glob("*.png")):
        sys.stdout.write(f"{picture.name}: {picture.stat().st_size // 1024} KiB\n")


if __name__ == "__main__":
    main()
