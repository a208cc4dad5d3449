"""What tests of several packages share."""

from __future__ import annotations

import pytest


@pytest.fixture
def engines_at_rest(monkeypatch, tmp_path):
    """Keep what engines write to the test's folder; W&B is offline and silent, Ray is local."""
    monkeypatch.chdir(tmp_path)
    for name in ("API_KEY", "BASE_URL", "MODE", "PROJECT", "ENTITY", "SWEEP_ID"):
        monkeypatch.delenv(f"WANDB_{name}", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.setenv("WANDB_CONSOLE", "off")
    for name in ("SILENT", "X_DISABLE_STATS", "X_DISABLE_META", "DISABLE_GIT"):
        monkeypatch.setenv(f"WANDB_{name}", "true")
    for name in ("ERROR_REPORTING", "X_SAVE_REQUIREMENTS"):
        monkeypatch.setenv(f"WANDB_{name}", "false")
