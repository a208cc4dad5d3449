"""A Trainer searched on Ray Tune, as the documentation page has it and as people use it."""

from __future__ import annotations

import copyreg
import os
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

transformers = pytest.importorskip("transformers")

import ray  # noqa: E402
import torch  # noqa: E402
from ray import tune  # noqa: E402
from ray.tune import ResultGrid  # noqa: E402
from ray.tune.schedulers import ASHAScheduler  # noqa: E402
from transformers import (  # noqa: E402
    AutoModelForSequenceClassification,
    BertConfig,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

import hpsearch  # noqa: E402
from hpsearch.errors import ArgumentError, SearchFailedError  # noqa: E402
from hpsearch.transformers import (  # noqa: E402
    disable,
    enable,
    hyperparameter_search,
    load_best_model,
    refit,
)

# As printed on the page for transformers 4.34.
PAGE = """
def ray_hp_space(trial):
    return {
        "learning_rate": tune.loguniform(1e-6, 1e-4),
        "per_device_train_batch_size": tune.choice([16, 32, 64, 128]),
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
        backend="ray",
        hp_space=ray_hp_space,
        n_trials=20,
        compute_objective=compute_objective,
    )
"""


@pytest.fixture(autouse=True, scope="module")
def known_to_workers():
    """No package holds this file, so workers could not import what it defines."""
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield
    ray.cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


def config():
    return BertConfig(
        vocab_size=32,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=16,
    )


def bert(trial=None):
    from transformers import BertForSequenceClassification

    return BertForSequenceClassification(config())


def make_data(count=16):
    tokens = torch.randint(0, 32, (count, 8), generator=torch.Generator().manual_seed(0))
    return [{"input_ids": row, "labels": int(row[0] > 15)} for row in tokens]


@pytest.fixture
def make_trainer(tmp_path):
    def make(cls=Trainer, **changes):
        own = ("model_init", "train_dataset", "eval_dataset", "compute_metrics", "callbacks")
        given = {name: changes.pop(name) for name in own if name in changes}
        arguments = {
            "output_dir": str(tmp_path / "out"),
            "report_to": [],
            "disable_tqdm": True,
            "use_cpu": True,
            "save_strategy": "no",
            "eval_strategy": "epoch",
            "logging_strategy": "no",
            "num_train_epochs": 2,
            **changes,
        }
        data = {"train_dataset": make_data(), "eval_dataset": make_data(12)}
        built = cls(args=TrainingArguments(**arguments), **{"model_init": bert, **data, **given})
        built.remove_callback(PrinterCallback)
        return built

    return make


@pytest.fixture
def search(results):
    """``hyperparameter_search`` on Ray, one trial at a time, quiet and seeded."""

    def run(trainer=None, hp_space=None, **options):
        given = {"backend": "ray", "seed": 0, "n_trials": 3, "n_workers": 1, "progress": False}
        if hp_space is None:
            hp_space = {"learning_rate": tune.loguniform(1e-3, 1e-1), "seed": tune.randint(1, 99)}
        return hyperparameter_search(
            trainer, hp_space, **{**given, "storage_path": results, **options}
        )

    return run


def here(trainer, study, **options):
    """Run the same trials in this process."""
    known = {"seed": hpsearch.Int(1, 99), "layers": hpsearch.Int(1, 9)}
    space = {name: known.get(name, hpsearch.Float(0, 1)) for name in study.trials[0].params}
    return hyperparameter_search(
        trainer,
        space,
        backend="random",
        n_trials=len(study.trials),
        enqueue=[trial.params for trial in study.trials],
        progress=False,
        **options,
    ).study


def outcomes(study):
    return [(t.objectives, t.intermediate, t.attrs["training_seed"]) for t in study.trials]


# The page.


def test_the_page_runs_as_printed(make_trainer, tmp_path, results, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))  # the page says no storage_path
    bert().save_pretrained(tmp_path / "model")
    page: dict = {
        "tune": tune,
        "AutoModelForSequenceClassification": SimpleNamespace(from_pretrained=_with_old_arguments),
        "model_args": SimpleNamespace(
            model_name_or_path=str(tmp_path / "model"),
            cache_dir=None,
            model_revision="main",
            use_auth_token=False,
        ),
        "config": config(),
        "compute_objective": lambda metrics: -metrics["eval_loss"],
    }
    exec(PAGE, page)
    page["trainer"] = make_trainer(model_init=page["model_init"], num_train_epochs=1)
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
    assert isinstance(best.run_summary, ResultGrid)
    assert len(best.run_summary) == 20


def _with_old_arguments(path, *, from_tf, use_auth_token, **arguments):
    """The page is of 4.34: two of its arguments are gone from transformers since."""
    assert not from_tf
    assert use_auth_token is None
    return AutoModelForSequenceClassification.from_pretrained(path, **arguments)


# A trial there is the trial here.


def test_trials_on_ray_are_the_trials_here(make_trainer, search):
    """With closures, and a Trainer that has trained: upstream tries to pickle that, and cannot."""
    offset, dropout = 0.25, 0.3

    def model_init(trial):
        made = config()
        if trial is not None:
            assert trial["layers"] == trial.params["layers"] == trial.config["layers"]
            made.num_hidden_layers = trial["layers"]
        made.hidden_dropout_prob = dropout
        return AutoModelForSequenceClassification.from_config(made)

    trainer = make_trainer(
        model_init=model_init,
        compute_metrics=lambda prediction: {"high": float((prediction[0] > offset).mean())},
    )
    trainer.train()

    def compute_objective(metrics):
        return metrics["eval_high"] + metrics["eval_loss"] + offset * trainer.state.global_step

    space = {"learning_rate": tune.loguniform(1e-3, 1e-1), "layers": tune.randint(1, 3)}
    study = search(trainer, space, compute_objective=compute_objective).study
    assert outcomes(study) == outcomes(here(trainer, study, compute_objective=compute_objective))


def test_a_factory_travels(make_trainer, search):
    def factory(trial):
        return make_trainer(learning_rate=trial["learning_rate"] / 2)

    space = {"learning_rate": tune.uniform(1e-3, 1e-1)}
    best = search(None, space, trainer_factory=factory, keep_checkpoints=1)
    trainer = refit(factory, best)
    assert trainer.evaluate()["eval_loss"] == best.objective


class Clipped(torch.utils.data.Dataset[dict[str, object]]):
    """Clips each example in place, as a transform writes into what it was given.

    It has 100 MB to carry, and notes each time that they arrive somewhere.
    """

    def __init__(self, arrivals):
        self.arrivals = arrivals
        self.rows = np.random.default_rng(0).integers(0, 64, (16, 8))
        self.ballast = np.ones(100_000_000, dtype=np.uint8)

    def __setstate__(self, state):
        vars(self).update(state)
        with self.arrivals.open("a") as file:
            file.write(f"{os.getpid()}\n")

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        row = self.rows[index]
        np.clip(row, 0, 31, out=row)
        return {"input_ids": torch.as_tensor(row), "labels": int(row[0] > 15)}


def test_a_large_data_set_travels_once_and_may_transform_in_place(make_trainer, search, tmp_path):
    """Ray's own way hands it to every trial again, with arrays that cannot be written."""
    arrivals = tmp_path / "arrivals"
    trainer = make_trainer(train_dataset=Clipped(arrivals))
    study = search(trainer, n_trials=6).study
    assert len(arrivals.read_text().split()) == 1
    assert outcomes(study) == outcomes(here(trainer, study))


# Names, folders, files.


def test_relative_paths_are_the_users(make_trainer, search, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bert().save_pretrained("model")
    trainer = make_trainer(
        output_dir="mine",
        model_init=lambda: AutoModelForSequenceClassification.from_pretrained("model"),
        save_strategy="epoch",
    )
    best = search(trainer, hp_name=lambda trial: f"number-{trial.number}", keep_checkpoints=1)
    assert best.checkpoint == str(tmp_path / "mine" / f"number-{best.run_id}" / "checkpoint-4")
    assert {path.name for path in Path("mine").iterdir()} == {f"number-{best.run_id}"}
    load_best_model(trainer, best)
    assert trainer.evaluate()["eval_loss"] == best.objective


def test_trials_stopped_by_a_scheduler_leave_no_files(make_trainer, search, tmp_path):
    trainer = make_trainer(save_strategy="epoch", num_train_epochs=4)
    space = {"learning_rate": tune.grid_search([1e-2, 1e-7, 1e-8, 1e-9])}
    scheduler = ASHAScheduler(grace_period=1, max_t=10, reduction_factor=2)
    best = search(trainer, space, scheduler=scheduler, n_trials=4, keep_checkpoints=1)
    states = [str(trial.state) for trial in best.study.trials]
    assert states[0] == "complete"
    assert "pruned" in states[1:]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["run-0"]


def test_two_trials_at_a_time_of_one_name_do_not_share_a_folder(make_trainer, search):
    trainer = make_trainer(save_strategy="epoch")
    best = search(trainer, n_workers=2, n_trials=4, hp_name=lambda trial: "same")
    assert len({trial.attrs["checkpoint"] for trial in best.study.trials}) == 4


# What ends a search.

LOCK = threading.Lock()


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda t: setattr(t, "compute_metrics", lambda _: LOCK), "the Trainer's compute_metrics"),
        (lambda t: setattr(t, "train_dataset", [LOCK]), "the Trainer's train_dataset"),
        (lambda t: t.add_callback(holding(LOCK)), "the Trainer's callback Holder"),
    ],
    ids=["compute_metrics", "train_dataset", "callback"],
)
def test_what_cannot_travel_is_named_before_the_first_trial(make_trainer, search, spoil, named):
    trainer = make_trainer()
    spoil(trainer)
    with pytest.raises(ArgumentError, match=f"cannot go there: {named} .*lock"):
        search(trainer)
    assert Trainer not in copyreg.dispatch_table


def holding(held):
    class Holder(TrainerCallback):
        def __init__(self):
            self.held = held

    return Holder()


class OwnConstructor(Trainer):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)


def test_a_class_with_a_constructor_of_its_own_needs_a_factory(make_trainer, search):
    with pytest.raises(ArgumentError, match=r"OwnConstructor has a constructor.*trainer_factory="):
        search(make_trainer(OwnConstructor))


def test_a_name_that_nobody_reads_is_refused_as_everywhere(make_trainer, search):
    trainer = make_trainer(model_init=lambda trial: bert())
    with pytest.raises(ArgumentError, match="'widht' is searched and changes nothing"):
        search(trainer, {"widht": tune.randint(1, 9)}, n_trials=6)


def test_a_failed_trial_keeps_its_traceback(make_trainer, search):
    def model_init(trial):
        if trial is not None:
            raise RuntimeError("no model today")
        return bert()

    trainer = make_trainer(model_init=model_init)
    with pytest.raises(SearchFailedError) as caught:
        search(trainer)
    error = caught.value.study.trials[0].error
    assert error.type == "RuntimeError"
    assert "in model_init" in error.traceback


# What goes to Ray itself.


@pytest.mark.parametrize("place", [{"backend": "ray"}, {"backend": "random", "executor": "ray"}])
def test_callbacks_for_ray_reach_ray(make_trainer, search, place):
    class Counter(tune.Callback):
        completed = 0

        def on_trial_complete(self, iteration, trials, trial, **info):
            Counter.completed += 1

    space = {"learning_rate": hpsearch.Float(1e-3, 1e-1)}
    search(make_trainer(), space, n_trials=2, callbacks=[Counter()], **place)
    assert Counter.completed == 2


def test_a_define_by_run_space_that_is_read_beforehand_travels(make_trainer, search):
    def hp_space(trial):
        rate = trial.suggest_float("learning_rate", 1e-3, 1e-1, log=True)
        return {"learning_rate": rate, "warmup_steps": trial.suggest_int("warmup_steps", 0, 4)}

    best = search(make_trainer(), hp_space, n_trials=2)
    assert best.trial.attrs["arguments"].keys() == {"learning_rate", "warmup_steps"}
