"""What the tests of Ray share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture
def results(tmp_path: Path, ray_running: None) -> Path:
    """Where Ray, which is running, keeps the files of a test's searches."""
    return tmp_path / "ray"
