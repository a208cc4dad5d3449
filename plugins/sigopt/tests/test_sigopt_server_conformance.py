"""The backend keeps the contract that the conformance kit states, on a server."""

from __future__ import annotations

import pytest

from hpsearch.testing import BackendConformance
from plugins.sigopt.tests.sigopt_server.server import SigOptServer

SINGLE = frozenset({"float-single", "int-single", "categorical-single"})


class OnAServer(BackendConformance):
    """The contract of a backend, on a server."""

    backend = "sigopt"
    runs = False

    @pytest.fixture(autouse=True)
    def _on_a_server(self, server: SigOptServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SIGOPT_API_URL", server.url)
        monkeypatch.setenv("SIGOPT_API_TOKEN", server.token)


class TestSuggestions(OnAServer):
    options = {"project": "huggingface"}
    refuses = SINGLE
    bad_options = {"experiment_id": "17"}


class TestRuns(OnAServer):
    options = {"project": "huggingface", "runs": True}
    refuses = SINGLE
    bad_options = {"project": "huggingfaces"}
