"""A real nginx in front of a server, set up by deploy/nginx.conf (and docs/deployment.md)."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import need
from tests.support import PROJECT_ROOT, free_port, wait_until

USER, PASSWORD = "somebody", "a password"
SITE = PROJECT_ROOT / "deploy" / "nginx.conf"
_PAGE = PROJECT_ROOT / "docs" / "deployment.md"
_SNIPPET = re.compile(r"^```nginx\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LOCATIONS = re.compile(r"^    location / \{\n.*(?=^\}$)", re.MULTILINE | re.DOTALL)
_CERTIFIED = re.compile(r"^    (ssl_\w+|listen \[::\]).*\n", re.MULTILINE)
_DOCUMENTED_PORT = "127.0.0.1:5001"
# What belongs to a machine and not to a site: everything is kept in a folder of the test.
_AROUND = """
daemon off;
pid "{place}/nginx.pid";
error_log "{place}/error.log";
{user}
events {{}}
http {{
    log_format told "$status $request_uri";
    access_log "{place}/access.log" told;
    root "{place}/empty";
    client_body_temp_path "{place}/body";
    proxy_temp_path "{place}/proxy";
    fastcgi_temp_path "{place}/fastcgi";
    uwsgi_temp_path "{place}/uwsgi";
    scgi_temp_path "{place}/scgi";
{site}
}}
"""
_BARE = """
    server {{
        listen 127.0.0.1:{port};
        # What it speaks where it is told nothing, before 1.29.7.
        location / {{ proxy_pass http://127.0.0.1:{to}; proxy_http_version 1.0; }}
    }}
"""


def nginx_path() -> str | None:
    """Return where nginx is: in sbin, which is not on everybody's PATH."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def documented_site(*, under: bool) -> str:
    """Return what an administrator is given: for a whole host, or for a sub-path of one."""
    whole = SITE.read_text(encoding="utf-8")
    (beneath,) = _SNIPPET.findall(_PAGE.read_text(encoding="utf-8"))
    assert len(_LOCATIONS.findall(whole)) == 1
    return _LOCATIONS.sub(lambda _: beneath, whole) if under else whole


def make_certificate(place: Path) -> None:
    """Make a key, and a certificate that nobody vouches for."""
    openssl = shutil.which("openssl")
    need("openssl", openssl)
    assert openssl is not None
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-subj", "/CN=backup.example.org", "-days", "2"]
    command += ["-keyout", str(place / "longshore.key"), "-out", str(place / "longshore.crt")]
    subprocess.run(command, check=True, capture_output=True)


class Nginx:
    """One nginx that passes on to a port of this machine, and what it wrote down."""

    def __init__(
        self,
        port: int,
        place: Path,
        *,
        under: str = "",
        tls: bool = False,
        password: bool = True,
        bare: bool = False,
        changes: Mapping[str, str] | None = None,
    ) -> None:
        self._place = place
        self.port = free_port()
        self._under, self._scheme = under, "https" if tls else "http"
        (place / "empty").mkdir(parents=True)
        if bare:
            self._configure(_BARE.format(port=self.port, to=port))
            return
        site = documented_site(under=bool(under))
        if tls:
            make_certificate(place)
        else:
            site = _CERTIFIED.sub("", site)
        listens = f"listen 127.0.0.1:{self.port}"
        here = {
            _DOCUMENTED_PORT: f"127.0.0.1:{port}",
            "listen 443 ssl;": f"{listens} ssl;" if tls else f"{listens};",
            "listen 80;": f"listen 127.0.0.1:{free_port()};",
            **({"    listen [::]:443 ssl;\n": "", "    listen [::]:80;\n": ""} if tls else {}),
            **({"/etc/ssl/": f"{place}/"} if tls else {}),
            **({"#auth_basic": "auth_basic"} if password else {}),
            "/etc/nginx/longshore.htpasswd": f'"{place}/passwords"',
            **({"/backup": under} if under else {}),
            **(changes or {}),
        }
        for documented, instead in here.items():
            assert documented in site, f"the documentation has no {documented}"
            site = site.replace(documented, instead)
        (place / "passwords").write_text(f"{USER}:{{PLAIN}}{PASSWORD}\n", encoding="utf-8")
        self._configure(site)

    def _configure(self, site: str) -> None:
        # Its workers give up root's rights unless they are told not to, and cannot write here then.
        user = "user root;" if os.geteuid() == 0 else ""
        text = _AROUND.format(place=self._place, user=user, site=site)
        (self._place / "nginx.conf").write_text(text, encoding="utf-8")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens, with the sub-path."""
        return f"{self._scheme}://127.0.0.1:{self.port}{self._under}"

    @property
    def strays(self) -> list[str]:
        """Return the requests for what is not beneath the sub-path."""
        told = (self._place / "access.log").read_text(encoding="utf-8").splitlines()
        paths = [line.partition(" ")[2] for line in told]
        return [path for path in paths if not f"{path}/".startswith(f"{self._under}/")]

    @property
    def complaints(self) -> list[str]:
        """Return what it wrote into its log of errors."""
        lines = (self._place / "error.log").read_text(encoding="utf-8").splitlines()
        return [line for line in lines if "[notice]" not in line]

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        path = nginx_path()
        need("nginx", path)
        assert path is not None
        self._process = subprocess.Popen(
            [path, "-p", str(self._place), "-e", f"{self._place}/error.log", "-c", "nginx.conf"],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait_until(self._answers, what="nginx's answer")

    def stop(self) -> None:
        """End it and its workers."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(timeout=20)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._place / "error.log").read_text(encoding="utf-8")
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return True
        except OSError:
            return False


@contextmanager
def nginx_to(
    port: int,
    place: Path,
    *,
    under: str = "",
    tls: bool = False,
    password: bool = True,
    bare: bool = False,
    changes: Mapping[str, str] | None = None,
) -> Iterator[Nginx]:
    """Run one until the block ends; a `bare` one does no more than pass on."""
    nginx = Nginx(port, place, under=under, tls=tls, password=password, bare=bare, changes=changes)
    nginx.start()
    try:
        yield nginx
    finally:
        nginx.stop()
