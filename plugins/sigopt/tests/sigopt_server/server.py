"""An HTTP server on 127.0.0.1 that SigOpt's own client talks to."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

from plugins.sigopt.tests.sigopt_server.definition import Refusal
from plugins.sigopt.tests.sigopt_server.experiment import Experiment
from plugins.sigopt.tests.sigopt_server.service import Service


class SigOptServer:
    """A server that can be stopped and started again, with all that it knows.

    Args:
        token: The API token that it takes.
        projects: The projects that exist.
        page_size: How many items a page of a list has.

    Attributes:
        requests: The method and path of each request so far.
    """

    def __init__(
        self,
        token: str = "the-secret-token-of-this-server",
        projects: tuple[str, ...] = ("huggingface",),
        page_size: int = 1000,
    ) -> None:
        self.service = Service(token, projects, page_size)
        self.requests: list[tuple[str, str]] = []
        self.mishap: tuple[int, bytes] | None = None
        self._lock = threading.Lock()
        self._port = 0
        self._http: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def token(self) -> str:
        """The API token that it takes."""
        return self.service.token

    @property
    def url(self) -> str:
        """Where it listens, or has listened."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def experiments(self) -> list[Experiment]:
        """Its experiments, by age."""
        return list(self.service.experiments.values())

    def start(self) -> None:
        """Listen, on the same port as before."""
        handler = type("Handler", (_Handler,), {"server_of_ours": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", self._port), handler)
        self._port = self._http.server_port
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Listen no more: a connection is refused."""
        if self._http is not None and self._thread is not None:
            self._http.shutdown()
            self._http.server_close()
            self._thread.join()
            self._http = self._thread = None

    @contextmanager
    def broken(self, status: int, text: str) -> Iterator[None]:
        """Give every request this answer for a while."""
        self.mishap = (status, text.encode())
        yield
        self.mishap = None

    def answer(self, method: str, target: str, token: str | None, sent: bytes) -> tuple[int, bytes]:
        """Return the status and the body that a request gets."""
        parts = urlsplit(target)
        with self._lock:
            self.requests.append((method, parts.path))
            if self.mishap is not None:
                return self.mishap
            try:
                _check_token(token, self.token)
                version, *path = parts.path.strip("/").split("/")
                if version != "v1":
                    raise Refusal(HTTPStatus.NOT_FOUND, "No such version")
                body = json.loads(sent, parse_constant=_refuse) if sent else {}
                body |= dict(parse_qsl(parts.query))
                return 200, json.dumps(self.service.answer(method, path, body)).encode()
            except Refusal as refusal:
                answer = {"status": refusal.status, "message": str(refusal)}
                return refusal.status, json.dumps(answer).encode()


class _Handler(BaseHTTPRequestHandler):
    server_of_ours: ClassVar[SigOptServer]

    def do(self) -> None:
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, body = self.server_of_ours.answer(self.command, self.path, self._token(), sent)
        if status == HTTPStatus.OK and self.headers.get("X-Response-Content") == "skip":
            status, body = HTTPStatus.NO_CONTENT, b""
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = do_MERGE = do

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the parent's name
        """Keep quiet: requests are counted, not printed."""

    def _token(self) -> str | None:
        kind, _, encoded = self.headers.get("Authorization", "").partition(" ")
        return base64.b64decode(encoded).decode().partition(":")[0] if kind == "Basic" else None


def _check_token(given: str | None, right: str) -> None:
    if given is None:
        raise Refusal(HTTPStatus.UNAUTHORIZED, "No API token provided")
    if given != right:
        # What some gateways do, and a client must survive: the token comes back in the answer.
        raise Refusal(HTTPStatus.FORBIDDEN, f"This endpoint requires a valid API token: {given}")


def _refuse(constant: str) -> None:
    raise Refusal(HTTPStatus.BAD_REQUEST, f"Malformed json in request body: {constant}")
