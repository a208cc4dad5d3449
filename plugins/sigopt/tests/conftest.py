from __future__ import annotations

from collections.abc import Iterator

import pytest
from sigopt.ratelimit import failed_status_rate_limit

from plugins.sigopt.tests.sigopt_server.server import SigOptServer


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[SigOptServer]:
    """A SigOpt server on this machine, and an environment that names no other."""
    for name in ("SIGOPT_API_URL", "SIGOPT_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("SIGOPT_PROJECT", "huggingface")
    failed_status_rate_limit.clear()  # else the client waits after five errors of earlier tests
    server = SigOptServer()
    server.start()
    yield server
    server.stop()
