"""Each ask/tell backend searches under torchrun, in two real ranks on gloo; one launch for all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TOYS = HERE.parent / "core" / "tests" / "transformers" / "ranks"
BACKENDS = ["random", "grid", "optuna", "sigopt", "wandb"]


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """What each of the two ranks saw, by scenario."""
    folder = tmp_path_factory.mktemp("ranks")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    script = [HERE / "ranks" / "backends.py", folder, ",".join(BACKENDS)]
    quiet = {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "WANDB_DIR": str(folder)}
    done = subprocess.run(
        [*launcher, "--nproc_per_node", "2", *map(str, script)],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        cwd=folder,
        env={**os.environ, **quiet, "PYTHONPATH": str(TOYS), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads((folder / f"rank{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.parametrize("backend", BACKENDS)
def test_trials_fail_are_pruned_and_go_on_together(ranks, backend):
    """huggingface/transformers#19096, #27487: pruning hung and failing crashed the other rank."""
    seen = ranks[0][backend]
    assert ranks[1][backend] == seen
    assert [trial["state"] for trial in seen["trials"]] == [
        "complete",
        "failed",
        "pruned",
        "complete",
    ]
    assert seen["trials"][1]["error"] == "ValueError: boom on rank 1"


def test_the_documentations_search_runs_with_optunas_own_pruner(ranks):
    seen = ranks[0]["optuna_as_in_the_documentation"]
    assert ranks[1]["optuna_as_in_the_documentation"] == seen
    states = [trial["state"] for trial in seen["trials"]]
    assert len(states) == 8
    assert {"complete", "pruned"} == set(states)


def test_a_backend_that_runs_the_trials_itself_is_refused_with_what_to_use(ranks):
    error = ranks[0]["ray"]["raised"]
    assert ranks[1]["ray"]["raised"] == error
    assert error.startswith("CapabilityError: backend 'ray'")
    assert "use backend 'optuna', 'random' or 'grid' under torchrun" in error
