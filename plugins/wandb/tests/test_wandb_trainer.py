"""A Trainer searched as the documentation page has it, with W&B's own callback in the same run."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest

from plugins.wandb.tests.wandb_files import run_files

transformers = pytest.importorskip("transformers")

import torch  # noqa: E402
from transformers import (  # noqa: E402
    AutoModelForSequenceClassification,
    BertConfig,
    PrinterCallback,
    Trainer,
    TrainingArguments,
)

import hpsearch  # noqa: E402
from hpsearch.transformers import disable, enable, hyperparameter_search  # noqa: E402

CONFIG = BertConfig(
    vocab_size=32,
    hidden_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=16,
    max_position_embeddings=16,
)

# As printed on the page for transformers 4.34.
PAGE = """
def wandb_hp_space(trial):
    return {
        "method": "random",
        "metric": {"name": "objective", "goal": "minimize"},
        "parameters": {
            "learning_rate": {"distribution": "uniform", "min": 1e-6, "max": 1e-4},
            "per_device_train_batch_size": {"values": [16, 32, 64, 128]},
        },
    }

def model_init(trial):
    return AutoModelForSequenceClassification.from_pretrained(
        model_args.model_name_or_path,
        from_tf=bool(".ckpt" in model_args.model_name_or_path),
        config=config,
        cache_dir=model_args.cache_dir,
        revision=model_args.model_revision,
        use_auth_token=True if model_args.use_auth_token else None,
    )

def search():
    return trainer.hyperparameter_search(
        direction="maximize",
        backend="wandb",
        hp_space=wandb_hp_space,
        n_trials=20,
        compute_objective=compute_objective,
    )
"""


@pytest.fixture
def runs(tmp_path):
    return lambda: run_files(tmp_path / "wandb_home")


@pytest.fixture
def make_trainer(tmp_path):
    tokens = torch.randint(0, 32, (16, 8), generator=torch.Generator().manual_seed(0))
    data = [{"input_ids": row, "labels": int(row[0] > 15)} for row in tokens]

    def make(model_init, **changes):
        arguments = TrainingArguments(
            **{
                "output_dir": str(tmp_path / "out"),
                "report_to": [],
                "disable_tqdm": True,
                "use_cpu": True,
                "save_strategy": "no",
                "eval_strategy": "epoch",
                "logging_strategy": "epoch",
                "num_train_epochs": 2,
                **changes,
            }
        )
        trainer = Trainer(
            args=arguments, model_init=model_init, train_dataset=data, eval_dataset=data
        )
        trainer.remove_callback(PrinterCallback)
        return trainer

    return make


def bert(trial=None):
    from transformers import BertForSequenceClassification

    return BertForSequenceClassification(CONFIG)


def wandb_hp_space(trial):
    return {
        "method": "random",
        "metric": {"name": "objective", "goal": "minimize"},
        "parameters": {
            "learning_rate": {"distribution": "uniform", "min": 1e-6, "max": 1e-4},
            "per_device_train_batch_size": {"values": [4, 8]},
        },
    }


def quiet(**options):
    return {"progress": False, "seed": 0, "dir": os.environ["WANDB_DIR"], **options}


def test_the_page_runs_as_printed(make_trainer, tmp_path, runs):
    bert().save_pretrained(tmp_path / "model")
    page: dict = {
        "AutoModelForSequenceClassification": SimpleNamespace(from_pretrained=_with_old_arguments),
        "model_args": SimpleNamespace(
            model_name_or_path=str(tmp_path / "model"),
            cache_dir=None,
            model_revision="main",
            use_auth_token=False,
        ),
        "config": CONFIG,
        "compute_objective": lambda metrics: -metrics["eval_loss"],
    }
    exec(PAGE, page)
    page["trainer"] = make_trainer(page["model_init"], num_train_epochs=1)
    enable()
    try:
        best = page["search"]()
    finally:
        disable()
    assert set(best.hyperparameters) == {"learning_rate", "per_device_train_batch_size"}
    assert 1e-6 <= best.hyperparameters["learning_rate"] <= 1e-4
    assert best.hyperparameters["per_device_train_batch_size"] in (16, 32, 64, 128)
    assert len(best.study.trials) == 20
    assert best.objective == max(trial.objective for trial in best.study.trials)
    assert best.run_summary == best.study.native


def _with_old_arguments(path, *, from_tf, use_auth_token, **arguments):
    """The page is of 4.34: two of its arguments are gone from transformers since."""
    assert not from_tf
    assert use_auth_token is None
    return AutoModelForSequenceClassification.from_pretrained(path, **arguments)


def test_wandbs_own_callback_logs_into_the_trials_run(make_trainer, runs):
    trainer = make_trainer(bert, report_to=["wandb"])
    best = hyperparameter_search(trainer, wandb_hp_space, backend="wandb", n_trials=3, **quiet())
    trials, found = best.study.trials, runs()
    assert len(found) == 3
    for trial, run in zip(trials, found, strict=True):
        assert run.record.sweep_id == best.run_summary
        assert run.record.run_id == trial.attrs["wandb"]["run"]
        assert run.summary["objective"] == trial.objective
        # The callback's: the arguments, and what the Trainer logs.
        assert run.config["learning_rate"] == trial["learning_rate"]
        assert run.config["model/num_parameters"] > 0
        assert [row["eval/loss"] for row in run.history if "eval/loss" in row] == [
            values[0] for values in trial.intermediate.values()
        ]
        assert len([row for row in run.history if "train/loss" in row]) == 2
        # And the study's: each report at its step.
        reported = [row for row in run.history if "objective/report" in row]
        assert [row["step"] for row in reported] == list(trial.intermediate)
        assert "assignments" not in run.config
        assert set(trial.params) == {"learning_rate", "per_device_train_batch_size"}


def test_a_pruned_trial_and_wandbs_callback_share_one_run(make_trainer, runs):
    from hpsearch.pruners import Pruner

    class FromTheSecond(Pruner):
        def should_prune(self, trial, step, cost):
            return trial.number > 0

    trainer = make_trainer(bert, report_to=["wandb"])
    options = quiet(pruner=FromTheSecond())
    best = hyperparameter_search(trainer, wandb_hp_space, backend="wandb", n_trials=3, **options)
    assert best.study.counts()["pruned"] == 2
    assert [run.summary["state"] for run in runs()] == ["complete", "pruned", "pruned"]
    assert [len([r for r in run.history if "eval/loss" in r]) for run in runs()] == [2, 1, 1]


def test_model_init_and_hp_name_find_the_parameters_in_wandbs_words(make_trainer, runs):
    seen = []

    def model_init(trial):
        # Built once before the search, without a trial.
        if trial is not None:
            seen.append((trial.config["width"], trial["optimizer"]["kind"]))
        return bert()

    config = {
        "method": "grid",
        "parameters": {
            "width": {"values": [8, 16]},
            "optimizer": {"parameters": {"kind": {"value": "adam"}}},
        },
    }
    best = hyperparameter_search(
        make_trainer(model_init, num_train_epochs=1),
        config,
        backend="wandb",
        n_trials=5,
        hp_name=lambda trial: f"width-{trial.config['width']}",
        **quiet(),
    )
    assert seen == [(8, "adam"), (16, "adam")]
    assert [trial.attrs["run_name"] for trial in best.study.trials] == ["width-8", "width-16"]
    assert [run.config["optimizer"] for run in runs()] == [{"kind": "adam"}] * 2


def test_the_options_of_transformers_own_search_are_taken(make_trainer, runs):
    best = hyperparameter_search(
        make_trainer(bert, num_train_epochs=1),
        wandb_hp_space,
        backend="wandb",
        n_trials=1,
        name="named",
        project="demo",
        entity="team",
        metric="eval/loss",
        **quiet(mode="offline"),
    )
    (run,) = runs()
    assert (run.record.project, run.record.entity) == ("demo", "team")
    assert run.summary["eval/loss"] == best.objective


def test_several_objectives_are_refused_before_the_first_trial(make_trainer, runs):
    with pytest.raises(hpsearch.errors.CapabilityError, match="one direction"):
        hyperparameter_search(
            make_trainer(bert),
            wandb_hp_space,
            backend="wandb",
            direction=["minimize", "maximize"],
            compute_objective=lambda metrics: [metrics["eval_loss"], 0.0],
            **quiet(),
        )
    assert runs() == []


def scores(prediction):
    right = float((prediction.predictions.argmax(-1) == prediction.label_ids).mean())
    return {"accuracy": right, "error": 1 - right}


@pytest.mark.parametrize(
    ("backend", "given"),
    [
        ("wandb", {"metric": {"name": "eval/accuracy", "goal": "maximize"}}),
        ("random", {"metric": {"name": "accuracy", "goal": "maximize"}}),
        ("wandb", {"option": "eval/error"}),
    ],
)
def test_the_metric_of_a_sweep_that_an_evaluation_has_is_the_objective(
    make_trainer, runs, backend, given
):
    """The run's summary then has the metric under its name, and no sum of all metrics."""
    option, metric = given.get("option"), given.get("metric")
    space = {"method": "random", "parameters": {"learning_rate": {"min": 1e-6, "max": 1e-2}}}
    trainer = make_trainer(bert, num_train_epochs=1)
    trainer.compute_metrics = scores
    best = hyperparameter_search(
        trainer,
        space if metric is None else {**space, "metric": metric},
        backend=backend,
        n_trials=1,
        **quiet(mode="offline", metric=option) if backend == "wandb" else {"progress": False},
    )
    name = (option or metric["name"]).rpartition("/")[2]
    assert best.objective == best.trial.attrs["metrics"][f"eval_{name}"]
    assert best.study.directions == ("minimize" if option else "maximize",)
    if backend == "wandb":
        (run,) = runs()
        assert run.summary[option or metric["name"]] == best.objective


def test_a_sweeps_metric_that_no_evaluation_has_is_refused_or_a_label(make_trainer, runs):
    sweep = {
        "method": "random",
        "metric": {"name": "eval/f1", "goal": "maximize"},
        "parameters": {"learning_rate": {"min": 1e-6, "max": 1e-2}},
    }
    with pytest.raises(
        hpsearch.errors.ArgumentError, match="or experiment names 'eval/f1', and the"
    ):
        hyperparameter_search(make_trainer(bert), sweep, backend="wandb", n_trials=1, **quiet())
    sweep["metric"] = {"name": "mine"}
    best = hyperparameter_search(
        make_trainer(bert, num_train_epochs=1), sweep, backend="wandb", n_trials=1, **quiet()
    )
    assert best.objective == best.trial.attrs["metrics"]["eval_loss"]
