"""Every Trainer class: it is searched, pruned, loaded, trained again, and searched in a worker."""

import logging
import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

import cloudpickle
import pytest

import hpsearch
from hpsearch.transformers import Seeds, hyperparameter_search, load_best_model, refit

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


def _table():
    """Return the module with the classes, since test folders are no packages to import from."""
    spec = spec_from_file_location("trainer_classes", Path(__file__).parent / "trainer_classes.py")
    module = sys.modules["trainer_classes"] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


table = _table()

NEEDS = {"sentence_transformers": "sentence_transformers", "setfit": "setfit"}
CLASSES = [
    pytest.param(
        getattr(table, name),
        id=name,
        marks=pytest.mark.skipif(
            name in NEEDS and not find_spec(name), reason=f"{name} is not installed here"
        ),
    )
    for name in (
        *("trainer", "seq2seq_trainer", "peft", "sft", "dpo", "reward", "grpo"),
        *("sentence_transformers", "setfit"),
    )
]
SAMPLES = (table.grpo,)
"""Their evaluation draws at random, so it gives a model another number each time."""

ONCE = (table.setfit,)
"""They are evaluated once, after training, so they can be pruned only between repeats."""

every_class = pytest.mark.parametrize("make", CLASSES)


@pytest.fixture(autouse=True)
def _quiet(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """Each class searched once, for all tests that only look at it."""
    done = {}

    def of(make):
        if make not in done:
            given = make(tmp_path_factory.mktemp(make.__name__))
            done[make] = given, search(given, keep_checkpoints=1)
        return done[make]

    return of


def search(given, **options):
    options = {"backend": "random", "seed": 3, "n_trials": 2, "progress": False, **options}
    given = {name: value for name, value in given.items() if name != "in_workers"}
    return hyperparameter_search(**{**given, **options})


def source(given):
    return given.get("trainer") or given["trainer_factory"]


def facts(best):
    return [
        (trial.state, dict(trial.params), trial.objectives, trial.intermediate)
        for trial in best.study.trials
    ]


def weights(model):
    body = getattr(model, "model_body", model)
    return {name: value.detach().clone() for name, value in body.state_dict().items()}


def evaluation(given, trainer):
    metrics = trainer.evaluate()
    return given.get("compute_objective", lambda found: sum(found.values()))(metrics)


@every_class
def test_the_best_model_is_loaded_and_trained_again(make, searched, toys):
    given, best = searched(make)
    assert [trial.state for trial in best.study.trials] == ["complete"] * 2
    assert set(best.hyperparameters) == set(best.study.trials[0].params)
    loaded = weights(load_best_model(source(given), best))
    if "trainer" in given:
        assert evaluation(given, given["trainer"]) == best.objective
    again = refit(source(given), best)
    assert toys.same_weights(weights(again.model), loaded)
    if make not in SAMPLES and "compute_objective" in given:
        assert evaluation(given, again) == best.objective


class PrunesTheSecond:
    """An observer that stops trial 1 at its first report."""

    @hpsearch.hookimpl
    def hpsearch_report(self, study, trial, step, values):
        return trial.number == 1


@every_class
def test_a_pruned_trial_leaves_the_trainer_as_given(make, tmp_path, searched):
    options = {"repeats": Seeds(2)} if make in ONCE else {}
    given = make(tmp_path)
    best = search(given, n_trials=3, plugins=[PrunesTheSecond()], **options)
    states = [str(trial.state) for trial in best.study.trials]
    assert states == ["complete", "pruned", "complete"]
    assert len(best.study.trials[1].intermediate) == 1
    if not options:
        _, unpruned = searched(make)
        assert facts(best)[0] == facts(unpruned)[0]


@every_class
def test_a_worker_gives_the_same_trials(make, searched):
    given, here = searched(make)
    for module in (table, sys.modules[__name__]):
        cloudpickle.register_pickle_by_value(module)
    try:
        if "in_workers" in given:
            given = {**given, "trainer": None, "trainer_factory": given["in_workers"]}
        there = search(given, executor="process", n_workers=1)
    finally:
        for module in (table, sys.modules[__name__]):
            cloudpickle.unregister_pickle_by_value(module)
    assert facts(there) == facts(here)
