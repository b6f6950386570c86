"""The files that come from elsewhere are the ones that were reviewed, byte for byte."""

import hashlib
import re
from pathlib import Path
from xml.etree import ElementTree

STATIC = Path(__file__).resolve().parents[2] / "fastapi_app" / "static"
CHECKSUMS = STATIC / "vendor" / "CHECKSUMS"


def recorded_checksums() -> dict[str, str]:
    """Path relative to the static folder → SHA-256, as `sha256sum` writes them."""
    lines = CHECKSUMS.read_text(encoding="utf-8").splitlines()
    return {path: digest for digest, path in (line.split("  ", 1) for line in lines)}


def present_files() -> set[str]:
    vendored = (path for path in (STATIC / "vendor").rglob("*") if path.is_file())
    paths = {path.relative_to(STATIC).as_posix() for path in vendored if path != CHECKSUMS}
    return paths | {"icons.svg"}


def test_checksums_cover_every_vendored_file_and_nothing_else() -> None:
    assert set(recorded_checksums()) == present_files()


def test_every_vendored_file_matches_its_checksum() -> None:
    actual = {
        path: hashlib.sha256((STATIC / path).read_bytes()).hexdigest()
        for path in recorded_checksums()
    }
    assert actual == recorded_checksums()


def test_every_vendored_script_and_style_has_its_licence_beside_it() -> None:
    for path in (STATIC / "vendor").iterdir():
        if path.suffix in {".js", ".css"}:
            library = path.name.split(".", 1)[0]
            assert (path.parent / f"{library}.LICENSE.txt").is_file(), path.name


def test_icons_take_their_colour_from_the_text_around_them() -> None:
    sprite = ElementTree.parse(STATIC / "icons.svg").getroot()
    symbols = list(sprite)
    assert symbols
    assert {symbol.get("stroke") for symbol in symbols} == {"currentColor"}
    assert {symbol.get("viewBox") for symbol in symbols} == {"0 0 24 24"}


def test_every_icon_that_the_program_names_is_in_the_sprite() -> None:
    sprite = ElementTree.parse(STATIC / "icons.svg").getroot()
    drawn = {symbol.get("id") for symbol in sprite}
    application = STATIC.parent
    sources = [*application.rglob("*.html"), *application.rglob("*.py"), *STATIC.glob("js/**/*.js")]
    named = {
        name
        for source in sources
        for name in re.findall(r"icons\.svg#([a-z0-9-]+)", source.read_text(encoding="utf-8"))
    }
    assert named <= drawn
