"""Real receivers on loopback: of webhooks and pings over HTTP, and of mail."""

from __future__ import annotations

import email
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from aiosmtpd.controller import Controller

from tests.support import free_port


class Received(NamedTuple):
    """One request."""

    method: str
    path: str
    body: bytes


class WebReceiver:
    """An HTTP server that keeps every request, and answers when it may."""

    def __init__(self) -> None:
        self.requests: list[Received] = []
        self.status = 200
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        self.port = int(self.server.server_address[1])
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """End it."""
        self.may_answer.set()
        self.server.shutdown()
        self.server.server_close()

    def of(self, start: str) -> list[Received]:
        """Return the requests under a path."""
        return [one for one in self.requests if one.path.startswith(start)]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                receiver.requests.append(Received(self.command, self.path, body))
                receiver.may_answer.wait(30)
                self.send_response(receiver.status)
                if receiver.status in range(300, 400):
                    self.send_header("location", "/elsewhere")
                self.send_header("content-length", "0")
                self.end_headers()

            do_GET = do_POST  # noqa: N815

            def log_message(self, *_arguments: Any) -> None:
                """Say nothing."""

        return Handler


class Mailbox:
    """Keeps what an SMTP server of ours is handed."""

    def __init__(self) -> None:
        self.mails: list[Message] = []
        self.controller = Controller(self, hostname="127.0.0.1", port=free_port())

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        """Take a mail."""
        self.mails.append(email.message_from_bytes(envelope.content))
        return "250 OK"

    @property
    def port(self) -> int:
        """Return where it listens."""
        return int(self.controller.port)


@contextmanager
def a_web_receiver() -> Iterator[WebReceiver]:
    """Give a web server, ended afterwards."""
    receiver = WebReceiver()
    try:
        yield receiver
    finally:
        receiver.close()


@contextmanager
def a_mailbox() -> Iterator[Mailbox]:
    """Give an SMTP server, ended afterwards."""
    mailbox = Mailbox()
    mailbox.controller.start()
    try:
        yield mailbox
    finally:
        mailbox.controller.stop()
