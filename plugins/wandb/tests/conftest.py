from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from plugins.wandb.tests.wandb_server.server import WandbServer


@pytest.fixture(autouse=True)
def _wandb_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Keep W&B to the test's folder, quiet, and away from keys and settings of this machine."""
    for name in ("API_KEY", "MODE", "PROJECT", "ENTITY", "BASE_URL", "SWEEP_ID", "RUN_GROUP"):
        monkeypatch.delenv(f"WANDB_{name}", raising=False)
    folders = {"WANDB_DIR": "", "WANDB_CONFIG_DIR": "config", "WANDB_CACHE_DIR": "cache"}
    for name, folder in folders.items():
        (tmp_path / "wandb_home" / folder).mkdir(parents=True, exist_ok=True)
        monkeypatch.setenv(name, str(tmp_path / "wandb_home" / folder))
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    monkeypatch.setenv("WANDB_CONSOLE", "off")
    for name in ("SILENT", "X_DISABLE_STATS", "X_DISABLE_META", "DISABLE_GIT"):
        monkeypatch.setenv(f"WANDB_{name}", "true")
    for name in ("ERROR_REPORTING", "X_SAVE_REQUIREMENTS"):
        monkeypatch.setenv(f"WANDB_{name}", "false")
    yield
    import wandb

    assert wandb.run is None, "a run was left open"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[WandbServer]:
    """A W&B server on this machine, in the environment; the agent asks it more often than W&B."""
    from wandb.agents.pyagent import Agent

    # Its documented way for tests.
    monkeypatch.setattr(Agent, "HEARTBEAT_SLEEP_SECONDS", 0.05)
    monkeypatch.setenv("WANDB_HTTP_TIMEOUT", "60")
    monkeypatch.setenv("WANDB__FILE_STREAM_TRANSMIT_INTERVAL", "1")
    with WandbServer() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_API_KEY", server.key)
        yield server
