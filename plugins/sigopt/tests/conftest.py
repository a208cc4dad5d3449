from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from sigopt.ratelimit import failed_status_rate_limit

from hpsearch_sigopt.options import SigOptOptions
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


@pytest.fixture(params=[False, True], ids=["suggestions", "runs"])
def options(request: pytest.FixtureRequest, server: SigOptServer) -> Mapping[str, Any]:
    """The options of a search on the server, in one of the two ways."""
    return {
        "backend": "sigopt",
        "api_url": server.url,
        "api_token": server.token,
        "project": "huggingface",
        "runs": request.param,
        "progress": False,
    }


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every connection that a search opens, so that a test can ask its experiment."""
    from hpsearch_sigopt import backend
    from hpsearch_sigopt.connect import connect

    opened: list[Any] = []

    def remembered(options: SigOptOptions) -> Any:
        opened.append(connect(options))
        return opened[-1]

    monkeypatch.setattr(backend, "connect", remembered)
    return opened
