"""The server over HTTP: GraphQL, the file stream, uploads; and the faults that a test asks for."""

from __future__ import annotations

import base64
import gzip
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from plugins.wandb.tests.wandb_server.graphql import GraphQLError, Operations
from plugins.wandb.tests.wandb_server.sweeps import Run, Sweep


class WandbServer:
    """A server of W&B's API on 127.0.0.1, for the real client.

    Attributes:
        entity: The one entity that it knows.
        key: The one API key that it accepts.
        projects: The projects that exist; others come into being unless ``creates_projects`` is
            False.
        sweeps: By name.
        runs: Those that belong to no sweep, by name.
        operations: The GraphQL operations that were asked for, in order.
        drops: How many of the next requests lose their connection.
    """

    entity = "team"

    def __init__(self) -> None:
        self.key = "k" * 40
        self.projects = {"demo"}
        self.creates_projects = True
        self.sweeps: dict[str, Sweep] = {}
        self.runs: dict[str, Run] = {}
        self.operations: list[str] = []
        self.drops = 0
        self.lock = threading.RLock()
        self._operations = Operations(self)
        self._http = _HTTPServer(type("_", (_Handler,), {"wandb": self}))
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))

    def __enter__(self) -> WandbServer:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()
        if self._http.broken:
            raise self._http.broken[0]

    @property
    def sweep(self) -> Sweep:
        """The only sweep."""
        (sweep,) = self.sweeps.values()
        return sweep

    def project(self, entity: str | None, project: str | None, *, create: bool = False) -> None:
        """Refuse a project that does not exist, or make it."""
        if project not in self.projects and create and self.creates_projects and project:
            self.projects.add(project)
        if entity != self.entity or project not in self.projects:
            raise GraphQLError(f"project {entity}/{project} was not found", 404)

    def run(self, name: str) -> Run | None:
        """Return the run of that name, in a sweep or not."""
        for runs in (self.runs, *(sweep.runs for sweep in self.sweeps.values())):
            if name in runs:
                return runs[name]
        return None

    def graphql(self, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Answer one GraphQL request: status and body."""
        try:
            data = self._operations.answer(request["query"], request.get("variables") or {})
        except GraphQLError as error:
            return error.status, {"errors": [{"message": str(error)}], "data": None}
        return 200, {"data": data}

    def stream(self, name: str, body: dict[str, Any]) -> None:
        """Take what a run streams: history, summary, its end."""
        run = self.run(name)
        assert run is not None, f"{name} streams before it exists"
        files = body.get("files") or {}
        for line in files.get("wandb-history.jsonl", {}).get("content", ()):
            run.history.append(json.loads(line))
        for line in files.get("wandb-summary.json", {}).get("content", ()):
            run.summary = json.loads(line)
        if body.get("complete"):
            run.exitcode = body["exitcode"]
            run.state = "finished" if run.exitcode == 0 else "failed"


class _HTTPServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.broken: list[BaseException] = []

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep what is wrong with this server; a client that hangs up, as wandb's does, is not."""
        error = sys.exception()
        if error is not None and not isinstance(error, ConnectionError):
            self.broken.append(error)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wandb: WandbServer

    def log_message(self, *args: Any) -> None:
        """Say nothing: stderr belongs to the tests."""

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Content-Encoding") == "gzip":
            raw = gzip.decompress(raw)
        server = self.wandb
        with server.lock:
            if server.drops:
                server.drops -= 1
                self.close_connection = True
                return
            status: int = 200
            answer: dict[str, Any] = {}
            if self.path == "/graphql":
                if self._key() == server.key:
                    status, answer = server.graphql(json.loads(raw))
                else:
                    status, answer = 401, {"errors": [{"message": "invalid API key"}]}
            elif self.path.endswith("/file_stream"):
                server.stream(self.path.split("/")[-2], json.loads(raw))
        self._send(status, answer)

    def do_PUT(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        _, _, name, file = self.path.split("/", 3)
        with self.wandb.lock:
            run = self.wandb.run(name)
            assert run is not None, f"{name} uploads before it exists"
            run.files[file] = raw
        self._send(200, {})

    def _key(self) -> str:
        kind, _, credentials = self.headers.get("Authorization", "").partition(" ")
        return base64.b64decode(credentials).decode().partition(":")[2] if kind == "Basic" else ""

    def _send(self, status: int, answer: dict[str, Any]) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
