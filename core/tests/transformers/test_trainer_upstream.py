"""Calls written for ``Trainer.hyperparameter_search`` run unchanged."""

import dataclasses
import inspect
import subprocess
import sys

import pytest
from transformers import Trainer
from transformers.trainer_utils import HPSearchBackend

import hpsearch
from hpsearch.errors import ArgumentError, BackendNotFoundError, CapabilityError, OptionError
from hpsearch.transformers import DEFAULT_SPACE, disable, enable, hyperparameter_search
from hpsearch.transformers.upstream import backend_name, translated

LR = {"learning_rate": hpsearch.Float(1e-3, 0.1, log=True)}


@pytest.fixture
def enabled():
    enable()
    yield
    disable()


def test_enable_makes_it_every_trainers_own_and_disable_gives_it_back(make_trainer):
    original = Trainer.hyperparameter_search
    enable()
    enable()  # twice is once
    try:
        best = make_trainer().hyperparameter_search(
            LR, n_trials=1, backend="random", progress=False
        )
        assert isinstance(best, hpsearch.BestRun)
    finally:
        disable()
    assert Trainer.hyperparameter_search is original
    disable()
    assert Trainer.hyperparameter_search is original


def test_importing_the_package_imports_neither_torch_nor_transformers():
    code = "import sys, hpsearch.transformers; print({'torch', 'transformers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_it_takes_upstreams_arguments_in_upstreams_order_with_upstreams_defaults():
    def arguments(function):
        return {
            name: parameter.default
            for name, parameter in inspect.signature(function).parameters.items()
            if parameter.kind is parameter.POSITIONAL_OR_KEYWORD and name not in ("self", "trainer")
        }

    assert list(arguments(hyperparameter_search)) == list(arguments(Trainer.hyperparameter_search))
    assert arguments(hyperparameter_search) == arguments(Trainer.hyperparameter_search)


def test_the_default_space_is_upstreams():
    optuna = pytest.importorskip("optuna")
    from transformers.trainer_utils import default_hp_space_optuna

    trial = optuna.create_study().ask()
    default_hp_space_optuna(trial)
    assert trial.distributions.keys() == DEFAULT_SPACE.keys()
    for name, native in trial.distributions.items():
        ours = DEFAULT_SPACE[name]
        for bound in ("low", "high", "log", "choices"):
            assert getattr(native, bound, None) == getattr(ours, bound, None)


@pytest.mark.parametrize("backend", list(HPSearchBackend))
def test_transformers_enumeration_of_backends_is_taken(backend):
    assert backend_name(backend) == backend.value


def test_a_backend_that_is_not_there_is_named(make_trainer):
    with pytest.raises(BackendNotFoundError, match="'optunna'"):
        hyperparameter_search(make_trainer(), LR, backend="optunna")


def test_optunas_words_are_translated():
    given = {"study_name": "mine", "load_if_exists": True, "directions": ["minimize", "maximize"]}
    assert translated(given) == {
        "name": "mine",
        "resume": True,
        "direction": ["minimize", "maximize"],
    }
    assert translated({"gc_after_trial": True, "n_jobs": 1, "timeout": 3}) == {"timeout": 3}


def test_optunas_words_stay_where_the_storage_is_optunas():
    given = {"storage": "sqlite:///study.db", "study_name": "mine", "load_if_exists": True}
    assert translated(given) == given
    assert translated({**given, "storage": "study.db"}) == {
        "storage": "study.db",
        "name": "mine",
        "resume": True,
    }


def test_a_baseline_needs_a_backend_that_takes_trials_of_others(make_trainer, search, monkeypatch):
    from hpsearch.builtin.random import RandomBackend

    without = dataclasses.replace(RandomBackend.capabilities, replay=False)
    monkeypatch.setattr(RandomBackend, "capabilities", without)
    with pytest.raises(CapabilityError, match="'replay'.*baseline=True"):
        search(make_trainer(), {"seed": hpsearch.Int(1, 50)}, baseline=True)


def test_threads_are_answered_with_workers(make_trainer, search):
    with pytest.raises(ArgumentError, match="n_jobs is 2.*n_workers=2"):
        search(make_trainer(), LR, n_jobs=2)


def test_optunas_callbacks_are_answered_with_observers(make_trainer, search):
    with pytest.raises(ArgumentError, match="'callbacks'.*plugins="):
        search(make_trainer(), LR, callbacks=[print])


def test_one_option_under_both_its_names_is_refused(make_trainer, search):
    with pytest.raises(ArgumentError, match="'study_name' and 'name'"):
        search(make_trainer(), LR, study_name="a", name="b")


def test_an_unknown_option_is_refused(make_trainer, search):
    with pytest.raises(OptionError, match="'n_trails'.*'n_trials'"):
        search(make_trainer(), LR, n_trails=3)


# On Optuna, as on the page "Hyperparameter Search using Trainer API" of transformers 4.34.


def optuna_hp_space(trial):
    return {
        "learning_rate": trial.suggest_float("learning_rate", 1e-6, 1e-4, log=True),
        "per_device_train_batch_size": trial.suggest_categorical(
            "per_device_train_batch_size", [16, 32, 64, 128]
        ),
    }


needs_optuna = pytest.mark.skipif(
    "optuna" not in {plugin.name for plugin in hpsearch.plugins.registry.installed()},
    reason="hpsearch-optuna is not installed",
)


@needs_optuna
def test_the_documented_call_runs_on_optuna(make_trainer, enabled):
    def model_init(trial):
        return original()

    trainer = make_trainer()
    original = trainer.model_init
    trainer.model_init = model_init
    best_trial = trainer.hyperparameter_search(
        direction="maximize",
        backend="optuna",
        hp_space=optuna_hp_space,
        n_trials=2,
        compute_objective=lambda metrics: -metrics["eval_loss"],
    )
    assert best_trial.hyperparameters.keys() == {"learning_rate", "per_device_train_batch_size"}
    assert best_trial.objective < 0


@needs_optuna
def test_the_documented_call_with_several_objectives_runs_on_optuna(make_trainer, enabled):
    best_trials = make_trainer().hyperparameter_search(
        direction=["minimize", "maximize"],
        backend="optuna",
        hp_space=optuna_hp_space,
        n_trials=3,
        compute_objective=lambda metrics: (metrics["eval_loss"], -metrics["eval_loss"]),
    )
    assert len(best_trials) == 1
    assert len(best_trials[0].objective) == 2


@needs_optuna
def test_sampler_pruner_and_what_optimize_takes_reach_optuna(make_trainer, enabled):
    import optuna

    asked = []

    class Pruner(optuna.pruners.BasePruner):
        def prune(self, study, trial):
            asked.append(trial.number)
            return False

    best = make_trainer().hyperparameter_search(
        LR,
        n_trials=3,
        backend=HPSearchBackend.OPTUNA,
        sampler=optuna.samplers.RandomSampler(seed=7),
        pruner=Pruner(),
        timeout=600,
        n_jobs=1,
        gc_after_trial=True,
        catch=(ValueError,),
    )
    assert asked == [0, 0, 1, 1, 2, 2]
    raw = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=7))
    rates = [raw.ask().suggest_float("learning_rate", 1e-3, 0.1, log=True) for _ in range(3)]
    assert best.hyperparameters["learning_rate"] in rates


@needs_optuna
def test_a_model_init_that_suggests_runs_on_optunas_own_trial(make_trainer, toys, enabled):
    def model_init(trial):
        return toys.Net(8 if trial is None else trial.suggest_int("width", 3, 9))

    best = make_trainer(model_init=model_init).hyperparameter_search(
        lambda trial: {},
        n_trials=2,
        backend="optuna",
        hp_name=lambda trial: f"width{trial.params['width']}",
    )
    assert best.trial.attrs["run_name"].startswith(f"width{best.hyperparameters['width']}")


@needs_optuna
def test_the_baseline_comes_first_in_a_define_by_run_search(make_trainer):
    def hp_space(trial):
        return {
            "learning_rate": trial.suggest_float("learning_rate", 1e-3, 0.1),
            "num_train_epochs": trial.suggest_int("num_train_epochs", 1, 3),
        }

    found = []

    class Observer:
        @hpsearch.hookimpl
        def hpsearch_tell(self, study, trial):
            found.append(dict(trial))

    hyperparameter_search(
        make_trainer(),
        hp_space,
        n_trials=2,
        backend="optuna",
        baseline=True,
        plugins=[Observer()],
        progress=False,
    )
    assert found[0] == {"learning_rate": 0.05, "num_train_epochs": 2}
    assert found[1] != found[0]


@needs_optuna
def test_a_study_in_optunas_own_storage_is_continued(make_trainer, enabled, tmp_path):
    import optuna

    for total in (2, 3):
        make_trainer().hyperparameter_search(
            LR,
            n_trials=total,
            backend="optuna",
            storage=f"sqlite:///{tmp_path / 'optuna.db'}",
            study_name="mine",
            load_if_exists=True,
        )
    study = optuna.load_study(study_name="mine", storage=f"sqlite:///{tmp_path / 'optuna.db'}")
    assert len(study.trials) == 3
