"""Each ask/tell backend searches under torchrun, in two real ranks on gloo; one launch for all."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pytest

from plugins.wandb.tests.wandb_server.server import WandbServer

HERE = Path(__file__).parent
TOYS = HERE.parent / "core" / "tests" / "transformers" / "ranks"
OFFLINE = ["random", "grid", "optuna", "sigopt", "wandb", "cmaes"]
EXAMPLE = HERE.parent / "examples" / "ddp_search.py"


@pytest.fixture(scope="module")
def ranks(module_programs, tmp_path_factory):
    """What each of the two ranks saw, by scenario."""
    folder = tmp_path_factory.mktemp("ranks")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    script = [HERE / "ranks" / "backends.py", folder, ",".join(OFFLINE)]
    with WandbServer() as server:
        wandb = {
            "WANDB_SILENT": "true",
            "WANDB_CONSOLE": "off",
            "WANDB_ERROR_REPORTING": "false",
            "WANDB_DIR": str(folder),
            "WANDB_BASE_URL": server.url,
            "WANDB_API_KEY": server.key,
        }
        done = module_programs.run(
            *(*launcher, "--nproc_per_node", "2", *script),
            cwd=folder,
            env={**os.environ, **wandb, "PYTHONPATH": str(TOYS), "OMP_NUM_THREADS": "1"},
        )
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads((folder / f"rank{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.parametrize("backend", [*OFFLINE, "wandb_online"])
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


LAUNCHERS = {
    "torchrun": ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"],
    # Of accelerate's launchers this is the one that starts several processes; they need no GPU.
    "accelerate": [
        *("-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"),
        *("--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"),
        *("--main_process_port", "0"),
    ],
}


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_the_example_searches_under_each_launcher(programs, tmp_path, launcher):
    done = programs.run(
        *(sys.executable, *LAUNCHERS[launcher], EXAMPLE),
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    # torchrun's ranks write without buffers, so one may write before the other has ended its line.
    found = dict(re.findall(r"rank (\d) of 2: (run \S+ [-+.\de]+)", done.stdout))
    assert sorted(found) == ["0", "1"]
    assert len(set(found.values())) == 1
