"""What the tests of transformers itself ask of ``Trainer.hyperparameter_search``, on each engine.

Their cases, told as facts: a model and arguments that share the names of the searched parameters,
a space in the engine's own words, names of runs from the parameters, and the calls as they stand
there, with ``enable()``. Those of SigOpt are from transformers 4, the others from 5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest

transformers = pytest.importorskip("transformers")

import torch  # noqa: E402
from sigopt.ratelimit import failed_status_rate_limit  # noqa: E402
from torch import nn  # noqa: E402
from transformers import (  # noqa: E402
    PretrainedConfig,
    PreTrainedModel,
    PrinterCallback,
    Trainer,
    TrainingArguments,
)
from transformers.trainer_utils import HPSearchBackend  # noqa: E402
from transformers.utils.hp_naming import TrialShortNamer  # noqa: E402

from hpsearch.plugins import registry  # noqa: E402
from hpsearch.transformers import disable, enable  # noqa: E402
from plugins.sigopt.tests.sigopt_server.server import SigOptServer  # noqa: E402

pytestmark = pytest.mark.usefixtures("engines_at_rest", "enabled")


@pytest.fixture
def enabled():
    enable()
    yield
    disable()


class LineConfig(PretrainedConfig):
    model_type = "line"

    def __init__(self, a=0, b=0, **kwargs):
        super().__init__(**kwargs)
        self.a = a
        self.b = b


class Line(PreTrainedModel):
    """y = a x + b, from the a and b that it is given."""

    config_class = LineConfig
    base_model_prefix = "line"

    def __init__(self, config):
        super().__init__(config)
        self.a = nn.Parameter(torch.tensor(config.a).float())
        self.b = nn.Parameter(torch.tensor(config.b).float())
        self.post_init()

    def _init_weights(self, module):
        """The weights are the config's."""

    def forward(self, input_x, labels=None):
        y = input_x * self.a + self.b
        return (y,) if labels is None else (nn.functional.mse_loss(y, labels), y)


@dataclass
class LineArguments(TrainingArguments):
    """They have fields a and b, as the parameters are called that are searched."""

    a: float = 0.0
    b: float = 0.0


class Namer(TrialShortNamer):
    """Names a run by the parameters that are not 0."""

    DEFAULTS = {"a": 0, "b": 0}


def line(a=0, b=0):
    return Line(LineConfig(a=a, b=b))


def nearly(prediction):
    """Return the share of predictions that are close to their labels."""
    predictions, labels = prediction
    close = abs(torch.as_tensor(predictions) - torch.as_tensor(labels)) <= 0.25
    return {"accuracy": close.float().mean().item()}


@pytest.fixture
def make_trainer(tmp_path):
    generator = torch.Generator().manual_seed(42)
    inputs = torch.randn(64, generator=generator)
    data = [{"input_x": x, "labels": 2 * x + 3} for x in inputs]

    def make(model_init, compute_metrics=None, **changes):
        given = {
            "output_dir": str(tmp_path / "runs"),
            "learning_rate": 0.1,
            "logging_steps": 1,
            "eval_strategy": "epoch",
            "save_strategy": "epoch",
            "num_train_epochs": 2,
            "disable_tqdm": True,
            "load_best_model_at_end": True,
            "run_name": "test",
            "report_to": [],
            "use_cpu": True,
        }
        trainer = Trainer(
            args=LineArguments(**{**given, **changes}),
            model_init=model_init,
            train_dataset=data,
            eval_dataset=data,
            compute_metrics=compute_metrics,
        )
        trainer.remove_callback(PrinterCallback)
        return trainer

    return make


def suggested_line(trial):
    """What upstream's tests for Optuna give as ``model_init``: it suggests by itself."""
    if trial is None:
        return line()
    return line(trial.suggest_int("a", -4, 4), trial.suggest_int("b", -4, 4))


def run_folders(tmp_path):
    return {path.name for path in (tmp_path / "runs").iterdir()}


def in_range(best, low=-4, high=4):
    assert set(best.hyperparameters) == {"a", "b"}
    return all(low <= value <= high for value in best.hyperparameters.values())


def test_optuna_searches_what_model_init_suggests(make_trainer, tmp_path):
    best = make_trainer(suggested_line).hyperparameter_search(
        direction="minimize",
        hp_space=lambda trial: {},
        hp_name=lambda trial: Namer.shortname(trial.params),
        n_trials=4,
    )
    assert in_range(best)
    assert len(best.study.trials) == 4
    assert best.objective == min(trial.objective for trial in best.study.trials)
    assert best.study.backend == "optuna"
    named = {Namer.shortname(trial.params) for trial in best.study.trials}
    assert named <= run_folders(tmp_path)


def test_optuna_gives_the_pareto_front_of_two_objectives(make_trainer):
    front = make_trainer(suggested_line, nearly).hyperparameter_search(
        direction=["minimize", "maximize"],
        hp_space=lambda trial: {},
        hp_name=lambda trial: Namer.shortname(trial.params),
        n_trials=4,
        compute_objective=lambda metrics: (metrics["eval_loss"], metrics["eval_accuracy"]),
    )
    assert front
    assert all(in_range(run) and len(run.objective) == 2 for run in front)


def test_a_search_evaluates_once_at_the_end_in_half_precision(make_trainer):
    """No evaluation during training, and ``fp16_full_eval``."""
    best = make_trainer(
        suggested_line,
        eval_strategy="no",
        save_strategy="no",
        load_best_model_at_end=False,
        fp16_full_eval=True,
    ).hyperparameter_search(direction="minimize", hp_space=lambda trial: {}, n_trials=2)
    assert in_range(best)
    assert math.isfinite(best.objective)
    assert all(not trial.intermediate for trial in best.study.trials)


def configured_line(config):
    """What they give for Ray and W&B: it reads a mapping."""
    return line() if config is None else line(config["a"], config["b"])


def test_ray_searches_a_space_of_its_own(make_trainer, ray_running, tmp_path):
    def hp_space(trial):
        from ray import tune

        return {"a": tune.randint(-4, 4), "b": tune.randint(-4, 4)}

    best = make_trainer(configured_line).hyperparameter_search(
        direction="minimize",
        hp_space=hp_space,
        hp_name=lambda params: Namer.shortname(params),
        backend="ray",
        n_trials=4,
        storage_path=str(tmp_path / "ray"),
        resources_per_trial={"cpu": 1},
    )
    assert in_range(best)
    assert len(best.study.trials) == 4


@pytest.fixture
def sigopt_server(monkeypatch):
    """A SigOpt server on this machine, in the environment."""
    failed_status_rate_limit.clear()  # else the client waits after five errors of earlier tests
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("SIGOPT_PROJECT", "huggingface")
    server = SigOptServer()
    server.start()
    monkeypatch.setenv("SIGOPT_API_URL", server.url)
    monkeypatch.setenv("SIGOPT_API_TOKEN", server.token)
    yield server
    server.stop()


@pytest.mark.parametrize("where", ["here", "on a server"])
def test_sigopt_searches_its_list_of_parameters(make_trainer, where, request):
    def hp_space(trial):
        return [
            {"bounds": {"min": -4, "max": 4}, "name": "a", "type": "int"},
            {"bounds": {"min": -4, "max": 4}, "name": "b", "type": "int"},
        ]

    def model_init(trial):
        return line() if trial is None else line(trial.assignments["a"], trial.assignments["b"])

    if where == "on a server":
        request.getfixturevalue("sigopt_server")
    best = make_trainer(model_init).hyperparameter_search(
        direction="minimize",
        hp_space=hp_space,
        hp_name=lambda trial: Namer.shortname(trial.assignments),
        backend="sigopt",
        n_trials=4,
    )
    assert in_range(best)
    assert len(best.study.trials) == 4


def test_wandb_sweeps_and_goes_on_with_a_sweep_of_its_id(make_trainer, monkeypatch):
    """The second search knows the sweep by its id alone, as in a new process."""

    def hp_space(trial):
        return {
            "method": "random",
            "metric": {},
            "parameters": {
                "a": {"distribution": "uniform", "min": 1e-6, "max": 1e-4},
                "b": {"distribution": "int_uniform", "min": 1, "max": 6},
            },
        }

    options = {"direction": "minimize", "hp_space": hp_space, "backend": "wandb", "n_trials": 4}
    trainer = make_trainer(configured_line)
    best = trainer.hyperparameter_search(**options)
    assert best.run_id is not None
    assert best.run_summary is not None
    assert in_range(best, 1e-6, 6)
    for name in ("WANDB_ENTITY", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    again = trainer.hyperparameter_search(**options, sweep_id=best.run_summary)
    assert again.run_id is not None
    assert again.run_summary == best.run_summary
    assert set(again.hyperparameters) == {"a", "b"}


def test_every_backend_that_transformers_names_is_a_plugin():
    for backend in HPSearchBackend:
        assert registry.find(backend.value).name == backend.value
