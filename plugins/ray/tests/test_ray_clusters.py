"""Rays of other kinds than the one of the other tests: none that runs, and a cluster by address."""

from __future__ import annotations

import os
import sys
import tempfile

import pytest

SCRIPT = """
import os, sys
import ray
from ray.cluster_utils import Cluster
import hpsearch
from hpsearch.errors import BackendError, OptionError

def search(**options):
    return hpsearch.search(
        lambda trial: float(os.getpid()), {"x": hpsearch.Float(0, 1)}, backend="ray", n_trials=3,
        n_workers=1, progress=False, storage_path="results", **options
    )

print(len(search().trials), ray.is_initialized(), flush=True)
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
try:
    search(address=cluster.address, resources_per_trial={"cpu": 2})
except OptionError as error:
    print("refused", "1 CPU" in str(error), flush=True)
print(len(search(address=cluster.address).trials), ray.is_initialized(), flush=True)
os.environ["RAY_ADDRESS"] = cluster.address
print(len(search().trials), ray.is_initialized(), flush=True)
cluster.shutdown()
for address, said in (
    ("ray://127.0.0.1:10001", "not a Ray client's"),
    ("127.0.0.1", "'host:port'"),
    ("127.0.0.1:1", "cannot be reached at '127.0.0.1:1'"),
):
    try:
        search(address=address)
    except (OptionError, BackendError) as error:
        print("refused", said in str(error), flush=True)
del os.environ["RAY_ADDRESS"]
with open(os.environ["RAY_TMPDIR"] + "/ray/ray_current_cluster", "w") as file:
    file.write("127.0.0.1:1")
try:
    search(address="auto")
except BackendError as error:
    print("refused", "'127.0.0.1:1' (where ray start noted" in str(error), flush=True)
print(len(search().trials), ray.is_initialized(), flush=True)
"""


@pytest.fixture
def rays_folder():
    """A folder for what Ray notes on a machine; paths of sockets have to be short."""
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp") as folder:
        yield folder


def test_a_ray_of_the_searchs_own_ends_with_it_and_a_cluster_is_left(
    rays_folder, programs, tmp_path
):
    answer = programs.run(
        *(sys.executable, "-W", "ignore", "-c", SCRIPT),
        cwd=tmp_path,
        env={**os.environ, "RAY_TMPDIR": rays_folder},
    )
    assert answer.returncode == 0, answer.stderr
    refused = ["refused True"]
    said = answer.stdout.splitlines()
    expected = ["3 False", *refused, "3 False", "3 False", *refused * 4, "3 False"]
    assert said == expected, answer.stderr
    assert "where ray start noted a cluster): " in answer.stderr
    assert "Ray starts another one for this search" in answer.stderr
