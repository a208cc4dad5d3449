"""From metrics to the objective."""

import math
import warnings

import numpy as np
import pytest
from transformers.trainer_utils import default_compute_objective

import hpsearch
from hpsearch.errors import ArgumentError
from hpsearch.transformers import TrainerObjective, default_objective

LR = {"learning_rate": hpsearch.Float(1e-3, 0.2, log=True)}


def accuracy(prediction):
    predicted = prediction.predictions.argmax(-1)
    return {"accuracy": float((predicted == prediction.label_ids).mean())}


def two_metrics(prediction):
    value = accuracy(prediction)["accuracy"]
    return {"accuracy": value, "error": 1 - value}


@pytest.mark.parametrize(
    "metrics",
    [
        {"eval_loss": 0.5, "epoch": 1.0, "eval_runtime": 3.0, "eval_samples_per_second": 7.0},
        {"eval_loss": 0.5, "eval_accuracy": 0.75, "epoch": 1.0, "eval_steps_per_second": 2.0},
        {"eval_accuracy": 0.75, "eval_f1": 0.5},
    ],
)
def test_the_default_objective_is_upstreams(metrics):
    assert default_objective(metrics) == default_compute_objective(metrics)


def test_what_an_evaluation_cost_never_counts():
    """huggingface/notebooks#13, huggingface/transformers#10107: a search for the fastest epoch."""
    costs = {
        "eval_runtime": 9.0,
        "eval_samples_per_second": 1650.9,
        "eval_model_preparation_time": 4.0,
        "eval_jit_compilation_time": 4.0,
        "eval_mem_cpu_alloc_delta": 8192,
        "init_mem_gpu_peaked_delta": 8192,
        "before_init_mem_cpu": 8192,
    }
    assert default_objective({"eval_matthews": 0.43, **costs}) == 0.43
    assert default_compute_objective({"eval_matthews": 0.43, **costs}) != 0.43


def test_no_metric_at_all_is_an_error():
    with pytest.raises(ArgumentError, match=r"'eval_runtime'.*compute_metrics"):
        default_objective({"eval_runtime": 1.0})


def test_a_metric_that_is_no_number_is_named():
    with pytest.raises(ArgumentError, match=r"'eval_report' is 'good'"):
        default_objective({"eval_report": "good"})


def test_numpy_numbers_count():
    assert default_objective({"eval_f1": np.float32(0.5)}) == 0.5


def test_a_sum_of_several_metrics_warns_once_and_names_them(make_trainer, search):
    """accuracy + f1 with direction "minimize" is what upstream optimises without a word."""
    trainer = make_trainer(compute_metrics=two_metrics)
    with pytest.warns(UserWarning, match="sum of 'eval_accuracy', 'eval_error', to minimize") as w:
        search(trainer, LR, n_trials=2)
    assert len(w) == 1


def test_one_metric_alone_does_not_warn(make_trainer, search):
    best = search(make_trainer(compute_metrics=accuracy), LR, direction="maximize")
    assert best.objective == best.trial.attrs["metrics"]["eval_accuracy"]


def test_maximising_the_loss_warns(make_trainer, search):
    with pytest.warns(UserWarning, match="looks for the largest loss"):
        search(make_trainer(), LR, direction="maximize")


def test_compute_objective_gets_all_metrics(make_trainer, search):
    seen = {}

    def objective(metrics):
        seen.update(metrics)
        metrics.clear()  # its own copy
        return 1.5

    best = search(make_trainer(compute_metrics=accuracy), LR, compute_objective=objective)
    assert best.objective == 1.5
    assert seen.keys() >= {"eval_loss", "eval_accuracy", "eval_runtime", "epoch"}
    assert "eval_loss" in best.trial.attrs["metrics"]


def losses_of(trainer, search, **options):
    best = search(trainer, {"learning_rate": hpsearch.Categorical([0.5])}, **options)
    return best, [values[0] for values in best.trial.intermediate.values()]


def test_the_last_evaluation_is_the_objective(make_trainer, search):
    best, losses = losses_of(make_trainer(num_train_epochs=6), search)
    assert best.objective == losses[-1]
    assert losses[-1] != min(losses)  # or the next test shows nothing


def test_the_best_evaluation_is_the_objective_on_request(make_trainer, search):
    """huggingface/transformers#25247, #25811."""
    best, losses = losses_of(make_trainer(num_train_epochs=6), search, objective_from="best")
    assert best.objective == min(losses)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        worst, losses = losses_of(
            make_trainer(num_train_epochs=6), search, objective_from="best", direction="maximize"
        )
    assert worst.objective == max(losses)


def test_nan_is_never_the_best(make_trainer, search):
    values = iter([math.nan, 3.0, math.nan, 2.0, math.nan])
    best = search(
        make_trainer(num_train_epochs=5),
        LR,
        compute_objective=lambda _: next(values),
        objective_from="best",
    )
    assert best.objective == 2.0


def test_the_best_of_several_objectives_is_refused(make_trainer, search):
    with pytest.raises(ArgumentError, match="objective_from='best' needs one direction"):
        search(
            make_trainer(),
            LR,
            direction=["minimize", "minimize"],
            objective_from="best",
            compute_objective=lambda m: [m["eval_loss"]] * 2,
        )


def test_another_word_for_objective_from_is_refused(make_trainer):
    with pytest.raises(ArgumentError, match="expected 'last' or 'best'"):
        TrainerObjective(make_trainer(), objective_from="first")


def test_a_compute_objective_that_is_neither_a_function_nor_names_is_refused(make_trainer):
    with pytest.raises(ArgumentError, match="compute_objective is 3, expected a function"):
        TrainerObjective(make_trainer(), compute_objective=3)
