"""One Ray for all tests: starting it takes seconds."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(scope="session")
def ray_running() -> Iterator[None]:
    """Ray with two CPUs."""
    import ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    yield
    ray.shutdown()


@pytest.fixture
def results(tmp_path: Path, ray_running: None) -> Path:
    """Where Ray, which is running, keeps the files of a test's searches."""
    return tmp_path / "ray"
