"""The objective and the constraints by the names of metrics."""

import logging
import math
import random
import warnings

import numpy as np
import pytest
import torch
from transformers import Trainer, TrainerCallback, set_seed

import hpsearch
from hpsearch.errors import ArgumentError, JournalError, SearchFailedError
from hpsearch.transformers import (
    TrainerObjective,
    at_least,
    at_most,
    default_objective,
    hyperparameter_search,
)
from hpsearch.transformers.preview import preview

LR = {"learning_rate": hpsearch.Float(1e-3, 0.2, log=True)}
RATES = {"learning_rate": hpsearch.Categorical([1e-5, 0.05, 0.2])}


def scores(prediction):
    right = float((prediction.predictions.argmax(-1) == prediction.label_ids).mean())
    return {"accuracy": right, "error": 1 - right}


class NoTraining(TrainerCallback):
    def on_train_begin(self, args, state, control, **kwargs):
        raise AssertionError("no training should begin")


# The objective by name.


@pytest.mark.parametrize("name", ["eval_accuracy", "accuracy", "eval/accuracy"])
@pytest.mark.parametrize("executor", ["inline", "process"])
def test_the_objective_is_the_metric_of_that_name(make_trainer, search, name, executor, elsewhere):
    executor = elsewhere if executor == "process" else executor
    trainer = make_trainer(compute_metrics=scores)
    best = search(
        trainer, RATES, n_trials=3, compute_objective=name, direction="maximize", executor=executor
    )
    for trial in best.study.trials:
        assert trial.objective == trial.attrs["metrics"]["eval_accuracy"]


def test_a_list_of_names_is_one_for_each_direction(make_trainer, search):
    front = search(
        make_trainer(compute_metrics=scores),
        LR,
        n_trials=2,
        compute_objective=["accuracy", "eval_loss"],
        direction=["maximize", "minimize"],
    )
    metrics = front[0].trial.attrs["metrics"]
    assert front[0].objective == [metrics["eval_accuracy"], metrics["eval_loss"]]


def test_a_study_goes_on_with_the_metric_that_it_has(make_trainer, search, tmp_path):
    def go_on(name, n_trials):
        trainer = make_trainer(compute_metrics=scores)
        options = {"compute_objective": name, "n_trials": n_trials, "resume": n_trials > 1}
        return search(trainer, LR, storage=tmp_path / "study.db", **options)

    go_on("error", 1)
    with pytest.raises(ArgumentError, match="the objective is accuracy, which trial 0"):
        go_on("accuracy", 2)
    assert len(go_on("eval/error", 2).study.trials) == 2


@pytest.mark.parametrize("given", [["accuracy", "eval_loss"], ["accuracy"]])
def test_names_and_directions_are_as_many(make_trainer, search, given):
    directions = "minimize" if len(given) > 1 else ["minimize", "maximize"]
    with pytest.raises(ArgumentError, match=r"compute_objective names 'accuracy'.* direction"):
        search(make_trainer(), LR, compute_objective=given, direction=directions)


def test_several_directions_need_names_or_a_function(make_trainer, search):
    """By default the objective is one number, and no training is needed to know that."""
    trainer = make_trainer(callbacks=[NoTraining()])
    with pytest.raises(ArgumentError, match="2 directions, .*give compute_objective= a list"):
        search(trainer, LR, direction=["minimize", "maximize"])


@pytest.mark.parametrize("given", [3, [], ["a", 3], {"a": 1}, ""])
def test_what_is_neither_a_function_nor_names_is_refused(make_trainer, given):
    with pytest.raises(ArgumentError, match="expected a function of the metrics, the name"):
        TrainerObjective(make_trainer(), compute_objective=given)


def test_a_metric_that_is_not_a_number_is_named(make_trainer, search):
    trainer = make_trainer(compute_metrics=lambda _: {"report": "good"})
    with pytest.raises(ArgumentError, match=r"'report': expected a number, got 'good'"):
        search(trainer, LR, compute_objective="report")


# Names that are not there.


@pytest.mark.parametrize(
    "asked",
    [
        {"compute_objective": "eval_acuracy"},
        {"compute_objective": ["eval_loss", "f1"], "direction": ["minimize", "maximize"]},
        {"constraints": {"acuracy": at_least(0.5)}},
    ],
)
def test_a_name_that_is_not_there_is_refused_before_the_first_training(make_trainer, search, asked):
    trainer = make_trainer(compute_metrics=scores, callbacks=[NoTraining()])
    with pytest.raises(ArgumentError, match="the evaluation has 'eval_accuracy', 'eval_error'"):
        search(trainer, LR, **asked)


def test_the_nearest_name_is_suggested(make_trainer, search):
    with pytest.raises(ArgumentError, match="Did you mean 'eval_accuracy'"):
        search(make_trainer(compute_metrics=scores), LR, compute_objective="acuracy")


def test_a_metric_for_best_model_that_is_not_there_is_refused(make_trainer, search):
    trainer = make_trainer(metric_for_best_model="f1", callbacks=[NoTraining()])
    with pytest.raises(ArgumentError, match="metric_for_best_model names 'f1'"):
        search(trainer, LR)


def test_a_factorys_first_trainer_shows_the_names_before_it_trains(make_trainer, search):
    def factory(trial):
        return make_trainer(compute_metrics=scores, callbacks=[NoTraining()])

    with pytest.raises(ArgumentError, match="the evaluation has 'eval_accuracy'"):
        search(None, LR, trainer_factory=factory, compute_objective="f1")


def test_names_that_only_all_batches_show_are_known(make_trainer, search):
    def compute_metrics(prediction):
        more = {"rare": 1.0} if len(prediction.label_ids) == 40 else {}
        return {**scores(prediction), **more}

    trainer = make_trainer(
        compute_metrics=compute_metrics,
        eval_dataset=make_trainer().eval_dataset[:1] * 40,
        per_device_eval_batch_size=4,
    )
    assert search(trainer, LR, compute_objective="rare").objective == 1.0


def test_names_that_a_callback_adds_are_not_held_against_the_evaluation(make_trainer, search):
    class Adds(TrainerCallback):
        def on_evaluate(self, args, state, control, metrics, **kwargs):
            metrics["eval_added"] = 4.0

    trainer = make_trainer(callbacks=[Adds()])
    assert search(trainer, LR, compute_objective="added").objective == 4.0
    with pytest.raises(ArgumentError, match="'eval_added'.*'eval_loss'"):
        search(trainer, LR, compute_objective="another")


def test_an_evaluation_that_fails_beforehand_is_no_obstacle(make_trainer, search):
    calls = []

    def compute_metrics(prediction):
        calls.append(len(prediction.label_ids))
        if len(calls) == 1:
            raise ZeroDivisionError
        return scores(prediction)

    trainer = make_trainer(compute_metrics=compute_metrics)
    assert search(trainer, LR, compute_objective="accuracy").objective > 0


def drawn():
    return torch.rand(1), random.random(), np.random.rand()  # noqa: NPY002 - it is shared


def test_looking_ahead_changes_nothing(make_trainer):
    seen = []

    class Notes(TrainerCallback):
        def on_log(self, args, state, control, **kwargs):
            seen.append("log")

        on_evaluate = on_prediction_step = on_log

    trainer = make_trainer(compute_metrics=scores, callbacks=[Notes()], bf16=True)
    trainer.model.train()
    trainer.model.inner.eval()
    before = dict(vars(trainer)), trainer.model.forward, list(trainer.state.log_history)
    set_seed(1)
    randomness = drawn()
    set_seed(1)
    metrics = preview(trainer, 1)
    assert drawn() == randomness
    assert "eval_accuracy" in metrics
    assert before == (vars(trainer), trainer.model.forward, trainer.state.log_history)
    assert trainer.model.training
    assert not trainer.model.inner.training
    assert not seen


def test_trials_are_the_same_whether_names_were_looked_at_or_not(make_trainer, search):
    def run(objective):
        best = search(make_trainer(), LR, n_trials=2, compute_objective=objective)
        return [trial.intermediate for trial in best.study.trials]

    assert run("eval_loss") == run(lambda metrics: metrics["eval_loss"])


# Functions that ask for a name.


def test_a_function_that_asks_for_a_metric_that_is_not_there_is_told_which_are(
    make_trainer, search
):
    trainer = make_trainer(compute_metrics=scores)
    text = r"compute_objective asks for 'eval_f1', and the evaluation has 'eval_accuracy'"
    with pytest.raises(ArgumentError, match=text):
        search(trainer, LR, compute_objective=lambda metrics: metrics["eval_f1"])


def test_without_evaluations_in_training_it_is_told_before_one(make_trainer, search):
    trainer = make_trainer(eval_strategy="no", callbacks=[NoTraining()])
    with pytest.raises(ArgumentError, match="asks for 'eval_f1'"):
        search(trainer, LR, compute_objective=lambda metrics: metrics["eval_f1"])


def test_a_key_error_of_something_else_is_the_trials_own(make_trainer, search):
    known = {}
    with pytest.raises(SearchFailedError) as failed:
        search(make_trainer(), LR, compute_objective=lambda metrics: known[metrics["epoch"]])
    assert failed.value.study.trials[0].error.type == "KeyError"


# metric_for_best_model.


@pytest.mark.parametrize(
    ("given", "direction"),
    [
        ({"metric_for_best_model": "accuracy"}, "maximize"),
        ({"metric_for_best_model": "eval_error", "greater_is_better": False}, "minimize"),
        ({"metric_for_best_model": "eval_loss"}, "minimize"),
        ({"metric_for_best_model": "loss"}, "minimize"),
    ],
)
def test_metric_for_best_model_is_the_default_objective(make_trainer, search, given, direction):
    trainer = make_trainer(compute_metrics=scores, **given)
    best = search(trainer, LR, n_trials=2)
    name = given["metric_for_best_model"].removeprefix("eval_")
    assert best.study.directions == (direction,)
    assert best.objective == best.trial.attrs["metrics"][f"eval_{name}"]


def test_its_direction_is_that_of_an_objective_of_its_name(make_trainer, search):
    trainer = make_trainer(compute_metrics=scores, metric_for_best_model="accuracy")
    assert search(trainer, LR, compute_objective="eval_accuracy").study.directions == ("maximize",)
    assert search(trainer, LR, compute_objective="error").study.directions == ("minimize",)
    other = search(trainer, LR, compute_objective=lambda metrics: metrics["eval_accuracy"])
    assert other.study.directions == ("minimize",)


def test_the_loss_that_transformers_writes_there_is_nobodys_choice(make_trainer, search):
    trainer = make_trainer(
        compute_metrics=lambda prediction: {"accuracy": scores(prediction)["accuracy"]},
        load_best_model_at_end=True,
        save_strategy="epoch",
    )
    assert trainer.args.metric_for_best_model == "loss"
    best = search(trainer, LR, direction="maximize")
    assert best.objective == best.trial.attrs["metrics"]["eval_accuracy"]


def test_a_factorys_metric_is_not_minimized_by_default(make_trainer):
    def factory(trial):
        best = {"metric_for_best_model": "accuracy", "greater_is_better": True}
        return make_trainer(compute_metrics=scores, **best)

    options = {"trainer_factory": factory, "backend": "random", "n_trials": 1}
    with pytest.raises(ArgumentError, match="give direction='maximize'"):
        hyperparameter_search(None, LR, **options)
    hyperparameter_search(None, LR, direction="maximize", **options)


@pytest.mark.parametrize(
    ("name", "direction", "shown"),
    [
        ("accuracy", {}, True),
        ("accuracy", {"direction": "minimize"}, False),
        ("eval_loss", {}, False),
    ],
)
def test_a_direction_that_nobody_said_is_shown(make_trainer, caplog, name, direction, shown):
    hyperparameter_search(
        make_trainer(compute_metrics=scores),
        LR,
        compute_objective=name,
        backend="random",
        n_trials=1,
        **direction,
    )
    line = f"objective: {name}, minimize"
    assert any(line in r.message for r in caplog.records if r.levelname == "WARNING") == shown


@pytest.mark.parametrize("given", [{"direction": "minimize"}, {"directions": ["minimize"]}])
def test_a_direction_against_it_counts_with_one_warning(make_trainer, search, caplog, given):
    trainer = make_trainer(compute_metrics=scores, metric_for_best_model="accuracy")
    with pytest.warns(UserWarning, match="'minimize'.*'accuracy' with greater_is_better=True") as w:
        best = search(trainer, LR, n_trials=2, **given)
    assert best.study.directions == ("minimize",)
    assert len(w) == 1
    assert "the space says" not in caplog.text


def test_a_direction_under_both_its_names_is_refused(make_trainer, search):
    with pytest.raises(ArgumentError, match="'directions' and 'direction' are the same option"):
        search(make_trainer(), LR, direction="minimize", directions=["maximize"])


def test_a_factory_may_be_searched_in_a_direction_against_its_trainers(make_trainer, search):
    def factory(trial):
        return make_trainer(metric_for_best_model="loss", greater_is_better=False)

    with pytest.warns(UserWarning, match="greater_is_better=False"):
        best = search(None, LR, trainer_factory=factory, directions=["maximize"])
    assert best.study.directions == ("maximize",)


def test_looking_ahead_loses_nothing_that_a_user_collects(make_trainer, search):
    losses = []

    class Collects(TrainerCallback):
        def __init__(self, collected):
            self.collected = collected

        def on_evaluate(self, args, state, control, metrics, **kwargs):
            self.collected.append(metrics["eval_loss"])

    trainer = make_trainer(callbacks=[Collects(losses)])
    search(trainer, LR)
    first = list(losses)
    search(trainer, LR, compute_objective="eval_loss")
    assert losses == first * 2


def test_a_factorys_metric_for_best_model_is_the_objective(make_trainer, search):
    def factory(trial):
        return make_trainer(compute_metrics=scores, metric_for_best_model="accuracy")

    best = search(None, LR, trainer_factory=factory, direction="maximize")
    assert best.objective == best.trial.attrs["metrics"]["eval_accuracy"]


# The default objective.


def test_losses_of_evaluation_sets_do_not_count_beside_metrics():
    metrics = {"eval_a_loss": 0.5, "eval_a_f1": 0.25, "eval_b_loss": 0.5, "eval_b_f1": 0.5}
    assert default_objective(metrics) == 0.75
    only_losses = {
        "eval_a_loss": 0.5,
        "eval_a_runtime": 1,
        "eval_b_loss": 0.25,
        "eval_b_runtime": 1,
    }
    assert default_objective(only_losses) == 0.75
    assert default_objective({"eval_loss": 0.5, "eval_hamming_loss": 0.25}) == 0.25


def test_several_evaluation_sets_are_summed_without_their_losses(make_trainer, search, toys):
    sets = {"a": toys.make_data(16, seed=1), "b": toys.make_data(16, seed=2)}
    trainer = make_trainer(
        compute_metrics=lambda prediction: {"accuracy": scores(prediction)["accuracy"]},
        eval_dataset=sets,
    )
    with pytest.warns(UserWarning, match="sum of 'eval_a_accuracy', 'eval_b_accuracy', to max"):
        best = search(trainer, LR, direction="maximize")
    metrics = best.trial.attrs["metrics"]
    assert best.objective == metrics["eval_a_accuracy"] + metrics["eval_b_accuracy"]


@pytest.mark.parametrize(
    ("given", "warned"),
    [
        ({}, True),
        ({"compute_metrics": lambda _: {}}, True),
        ({"compute_metrics": lambda _: {"accuracy": 0.5}}, False),
    ],
)
def test_the_warning_of_a_largest_loss_is_true(make_trainer, search, given, warned):
    for source in ({"trainer": make_trainer(**given)}, {"trainer": None}):
        factory = None if source["trainer"] else lambda trial: make_trainer(**given)
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            search(source["trainer"], LR, trainer_factory=factory, direction="maximize", n_trials=2)
        assert [w for w in seen if "largest loss" in str(w.message)][1:] == []
        assert any("largest loss" in str(w.message) for w in seen) == warned


# Constraints.


def test_a_limit_of_a_metric_is_a_constraint_of_the_trial(make_trainer, search):
    given = {"compute_metrics": scores, "num_train_epochs": 4}
    free = search(
        make_trainer(**given), RATES, backend="grid", n_trials=3, compute_objective="accuracy"
    )
    accuracies = [trial.attrs["metrics"]["eval_accuracy"] for trial in free.study.trials]
    least = max(accuracies)
    limits = {"accuracy": at_least(least), "eval_runtime": at_most(1e6)}
    study = search(
        make_trainer(**given),
        RATES,
        backend="grid",
        n_trials=3,
        compute_objective="accuracy",
        constraints=limits,
    ).study
    assert min(accuracies) < least
    assert study.best.objective == least  # though the direction is "minimize"
    for trial, accuracy in zip(study.trials, accuracies, strict=True):
        assert trial.constraints["accuracy"] == least - accuracy
        assert trial.constraints["eval_runtime"] < 0


def test_limits_travel(make_trainer, search, elsewhere):
    best = search(
        make_trainer(compute_metrics=scores),
        LR,
        compute_objective="accuracy",
        constraints={"error": at_most(1)},
        executor=elsewhere,
    )
    assert best.trial.constraints == {"error": best.trial.attrs["metrics"]["eval_error"] - 1}


def test_a_metric_that_is_nan_keeps_no_limit(make_trainer, search, caplog):
    trainer = make_trainer(compute_metrics=lambda _: {"f1": math.nan})
    with caplog.at_level(logging.WARNING, "hpsearch"), pytest.raises(hpsearch.errors.HpsearchError):
        search(trainer, LR, compute_objective="eval_loss", constraints={"f1": at_least(0)})
    assert "keeps its constraints" in caplog.text


@pytest.mark.parametrize("then", [None, {"loss": at_most(99)}])
def test_a_resumed_search_judges_every_trial_by_its_limits(make_trainer, search, tmp_path, then):
    """Limits that are new count for the trials that are there; other limits are refused."""
    place = {"storage": tmp_path / "study.db", "n_trials": 3}
    first = search(make_trainer(), RATES, backend="grid", constraints=then, **place).study
    losses = sorted(trial.objective for trial in first.trials)
    tight = {"eval/loss" if then is None else "loss": at_most(losses[0] - 1e-9)}
    resumed = {**place, "n_trials": 3, "resume": True, "backend": "random", "constraints": tight}
    if then is not None:
        with pytest.raises(JournalError, match="'loss' has to be at most 99"):
            search(make_trainer(), RATES, **resumed)
        return
    with pytest.raises(hpsearch.errors.HpsearchError, match="feasible"):
        search(make_trainer(), RATES, **resumed)
    study = hpsearch.load(tmp_path / "study.db")
    assert [t.constraints["eval/loss"] > 0 for t in study.trials] == [True] * 3


def test_a_pruned_trial_has_constraints_too(make_trainer, search):
    class Prunes:
        @hpsearch.hookimpl
        def hpsearch_report(self, trial):
            return trial.number == 1

    study = search(
        make_trainer(), RATES, n_trials=2, constraints={"loss": at_most(9)}, plugins=[Prunes()]
    ).study
    (step,) = study.trials[1].intermediate
    assert study.trials[1].constraints == {"loss": study.trials[1].intermediate[step][0] - 9}


def test_two_limits_of_one_metric_are_refused(make_trainer, search):
    limits = {"eval_loss": at_most(99.0), "loss": at_most(0.001)}
    with pytest.raises(ArgumentError, match="'eval_loss' and 'loss', which are one metric"):
        search(make_trainer(), LR, constraints=limits)


def test_numbers_of_numpy_and_torch_are_metrics(make_trainer, search):
    class Adds(Trainer):
        def evaluate(self, *args, **options):
            metrics = super().evaluate(*args, **options)
            return {**metrics, "eval_a": np.float32(0.25), "eval_b": torch.tensor(0.5)}

    best = search(make_trainer(cls=Adds), LR, constraints={"a": at_most(1), "b": at_least(0)})
    assert best.trial.constraints == {"a": -0.75, "b": -0.5}


@pytest.mark.parametrize("given", [{"eval_runtime": 10.0}, [at_most(1)], {3: at_most(1)}])
def test_what_is_no_limit_is_refused(make_trainer, search, given):
    with pytest.raises(ArgumentError, match="constraints"):
        search(make_trainer(), LR, constraints=given)


@pytest.mark.parametrize("make", [at_most, at_least])
@pytest.mark.parametrize("bound", [math.nan, math.inf, "10", None])
def test_a_bound_is_a_finite_number(make, bound):
    with pytest.raises(ArgumentError, match="expected a finite number"):
        make(bound)
