"""A reverse proxy that takes a prefix off each path, as nginx does for a sub-path."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_CHUNK = 65_536


class PrefixProxy(socketserver.ThreadingTCPServer):
    """Passes `/prefix/…` on to a port of this machine; everything else is a stray request."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port: int, prefix: str) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.backend = ("127.0.0.1", port)
        self.prefix = prefix
        self.strays: list[str] = []

    @property
    def url(self) -> str:
        """Where it listens, with the prefix."""
        return f"http://127.0.0.1:{self.server_address[1]}{self.prefix}"


class _Connection(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            part = self.request.recv(_CHUNK)
            if not part:
                return
            head += part
        assert isinstance(self.server, PrefixProxy)
        request, _, rest = head.partition(b"\r\n")
        method, path, version = request.decode().split(" ")
        if not path.startswith(self.server.prefix + "/"):
            self.server.strays.append(path)
            self.request.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return
        path = path.removeprefix(self.server.prefix)
        # One request for a connection, so that every one of them is seen here.
        rest = rest.replace(b"Connection: keep-alive", b"Connection: close")
        with socket.create_connection(self.server.backend) as backend:
            backend.sendall(f"{method} {path} {version}\r\n".encode() + rest)
            answer = threading.Thread(target=_pass_on, args=(backend, self.request))
            answer.start()
            _pass_on(self.request, backend)
            answer.join()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while part := source.recv(_CHUNK):
            target.sendall(part)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextmanager
def proxy_to(port: int, prefix: str) -> Iterator[PrefixProxy]:
    """Run a proxy until the block ends."""
    with PrefixProxy(port, prefix) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join()
