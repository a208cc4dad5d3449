"""A search of a Trainer, from the call to the result."""

import logging

import pytest
from transformers import Seq2SeqTrainer, Seq2SeqTrainingArguments, Trainer, TrainerCallback

import hpsearch
from hpsearch.errors import ArgumentError, SearchFailedError
from hpsearch.transformers import TrainerObjective, hyperparameter_search

LR = {"learning_rate": hpsearch.Float(1e-4, 0.1, log=True)}


def test_the_best_run_has_what_users_of_transformers_expect(make_trainer, search):
    best = search(make_trainer(), LR, n_trials=3)
    assert best.run_id in {"0", "1", "2"}
    assert best.objective == best.trial.attrs["metrics"]["eval_loss"]
    assert set(best.hyperparameters) == {"learning_rate"}
    run_id, objective, hyperparameters, summary = best
    assert (run_id, objective, hyperparameters) == best[:3]
    assert summary is None


def test_searched_arguments_change_the_training(make_trainer, search):
    low, high = (
        search(make_trainer(), {"learning_rate": hpsearch.Categorical([value])}).objective
        for value in (1e-5, 0.1)
    )
    assert low != high


def test_without_a_space_upstreams_default_space_is_searched(make_trainer, search):
    best = search(make_trainer(), None)
    assert set(best.hyperparameters) == {
        "learning_rate",
        "num_train_epochs",
        "seed",
        "per_device_train_batch_size",
    }
    assert 1e-6 <= best.hyperparameters["learning_rate"] <= 1e-4
    assert best.hyperparameters["per_device_train_batch_size"] in (4, 8, 16, 32, 64)


def test_a_define_by_run_function_sets_what_it_returns(make_trainer, search):
    """What is suggested and not returned was for the function itself: here an exponent."""

    def hp_space(trial):
        return {"learning_rate": 10.0 ** -trial.suggest_int("exponent", 2, 4), "warmup_steps": 2}

    best = search(make_trainer(), hp_space, n_trials=2)
    assert best.trial.attrs["arguments"] == {
        "learning_rate": 10.0 ** -best.hyperparameters["exponent"],
        "warmup_steps": 2,
    }


@pytest.mark.parametrize("backend", ["grid", "random"])
def test_a_function_is_read_beforehand_where_the_backend_needs_that(make_trainer, search, backend):
    best = search(
        make_trainer(),
        lambda trial: {"num_train_epochs": trial.suggest_int("num_train_epochs", 1, 3)},
        backend=backend,
        n_trials=3,
    )
    assert best.trial.attrs["arguments"] == best.hyperparameters


def test_several_directions_return_the_pareto_front(make_trainer, search):
    best = search(
        make_trainer(),
        LR,
        n_trials=4,
        direction=["minimize", "maximize"],
        compute_objective=lambda metrics: [metrics["eval_loss"], metrics["eval_loss"]],
    )
    # Each trial is best in one direction and worst in the other, so none beats another.
    assert sorted(run.run_id for run in best) == ["0", "1", "2", "3"]
    assert all(isinstance(run.objective, list) and len(run.objective) == 2 for run in best)


def test_a_trainer_without_model_init_is_refused(make_trainer, toys):
    with pytest.raises(ArgumentError, match=r"model_init=.*trainer_factory="):
        hyperparameter_search(make_trainer(model=toys.Net()), LR, backend="random")


def test_a_trainer_without_evaluation_data_is_refused(make_trainer):
    trainer = make_trainer(eval_dataset=None, eval_strategy="no")
    with pytest.raises(ArgumentError, match="no eval_dataset"):
        hyperparameter_search(trainer, LR, backend="random")


def test_neither_both_nor_none_of_trainer_and_factory(make_trainer):
    with pytest.raises(ArgumentError, match="either a Trainer or trainer_factory="):
        hyperparameter_search(None, LR, backend="random")
    trainer = make_trainer()
    with pytest.raises(ArgumentError, match="not both"):
        hyperparameter_search(trainer, LR, backend="random", trainer_factory=lambda _: trainer)


def test_a_trainer_of_several_processes_is_refused_in_a_search_of_one(make_trainer, monkeypatch):
    trainer = make_trainer()
    monkeypatch.setattr(type(trainer.args), "world_size", 2)
    with pytest.raises(ArgumentError, match="trains in 2 processes together.* runs in 1"):
        hyperparameter_search(trainer, LR, backend="random")


def test_the_objective_is_public_and_gives_the_whole_study(make_trainer):
    study = hpsearch.search(
        TrainerObjective(make_trainer()), LR, backend="random", n_trials=3, progress=False
    )
    assert [trial.state for trial in study.trials] == ["complete"] * 3
    assert study.best.objective == min(trial.objective for trial in study.trials)


def test_a_trial_records_what_it_takes_to_run_it_again(make_trainer, search, tmp_path):
    attrs = search(make_trainer(seed=5), LR).trial.attrs
    assert attrs["training_seed"] == 5
    assert attrs["run_name"] == "run-0"
    assert attrs["output_dir"] == str(tmp_path / "run-0")
    assert attrs["metrics"]["epoch"] == 2.0
    assert attrs["environment"].keys() >= {"torch", "transformers", "threads", "world_size"}
    assert attrs["environment"]["device"] == "cpu"


def test_a_trial_that_was_not_evaluated_is_evaluated_once_at_its_end(make_trainer, search):
    trainer = make_trainer(eval_strategy="no")
    best = search(trainer, LR)
    assert best.objective == best.trial.attrs["metrics"]["eval_loss"]
    assert best.trial.intermediate == {}


def test_each_evaluation_is_reported_at_its_step(make_trainer, search):
    best = search(make_trainer(num_train_epochs=3), LR)
    assert list(best.trial.intermediate) == [3, 6, 9]
    assert best.trial.intermediate[9] == (best.objective,)


def test_a_training_that_begins_anew_reports_each_step_once(make_trainer, search):
    """auto_find_batch_size starts again with smaller batches when memory runs out."""
    steps = []

    class RunsOut(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            steps.append(state.global_step)
            if steps == [1, 2, 3]:
                raise RuntimeError("CUDA out of memory.")

    trainer = make_trainer(
        auto_find_batch_size=True, eval_strategy="steps", eval_steps=2, callbacks=[RunsOut()]
    )
    best = search(trainer, LR)
    assert steps[:5] == [1, 2, 3, 1, 2]
    assert list(best.trial.intermediate) == list(range(2, steps[-1] + 1, 2))
    assert best.objective == best.trial.attrs["metrics"]["eval_loss"]


def test_several_evaluation_sets_are_one_evaluation(make_trainer, search, toys):
    """`on_evaluate` fires for each set; the objective gets the metrics of all of them."""
    sets = {"one": toys.make_data(8, seed=3), "two": toys.make_data(8, seed=4)}
    best = search(
        make_trainer(eval_dataset=sets),
        LR,
        compute_objective=lambda m: m["eval_one_loss"] + m["eval_two_loss"],
    )
    metrics = best.trial.attrs["metrics"]
    assert best.objective == metrics["eval_one_loss"] + metrics["eval_two_loss"]
    assert len(best.trial.intermediate) == 2


def test_an_evaluation_with_other_data_is_not_reported(make_trainer, search, toys):
    class Overfit(TrainerCallback):
        def on_epoch_begin(self, args, state, control, **kwargs):
            trainer.evaluate(toys.make_data(4), metric_key_prefix="train")

    trainer = make_trainer(callbacks=[Overfit()])
    best = search(trainer, LR)
    assert len(best.trial.intermediate) == 2
    assert "eval_loss" in best.trial.attrs["metrics"]


def test_a_failing_trial_is_recorded_and_the_search_goes_on(make_trainer, search):
    """Upstream's Optuna search ends with the first trial that raises."""

    def model_init(trial):
        if trial is not None and trial["width"] == 3:
            raise RuntimeError("no such width")
        return original(trial)

    trainer = make_trainer()
    original = lambda trial: type(trainer.model)(8 if trial is None else trial["width"])  # noqa: E731
    trainer.model_init = model_init
    study = hpsearch.search(
        TrainerObjective(trainer),
        {"width": hpsearch.Int(2, 4)},
        backend="grid",
        n_trials=3,
        catch=RuntimeError,
        progress=False,
    )
    failed = [trial for trial in study.trials if trial.state == "failed"]
    assert [trial["width"] for trial in failed] == [3]
    assert "no such width" in failed[0].error.traceback
    assert len(study.trials) == 3


def test_when_the_first_trial_fails_the_search_ends_with_its_cause(make_trainer, search):
    def broken(metrics):
        raise ZeroDivisionError("in compute_objective")

    with pytest.raises(SearchFailedError) as caught:
        search(make_trainer(), LR, n_trials=3, compute_objective=broken)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_seq2seq_trainers_are_searched(make_trainer, search, tmp_path, toys):
    args = toys.make_arguments(tmp_path, Seq2SeqTrainingArguments)
    trainer = Seq2SeqTrainer(
        model_init=toys.new_net,
        args=args,
        train_dataset=toys.make_data(),
        eval_dataset=toys.make_data(16, seed=1),
    )
    best = search(trainer, {"per_device_train_batch_size": hpsearch.Categorical([4, 8])})
    assert isinstance(trainer, Trainer)
    assert len(best.trial.intermediate) == 2


def test_the_baseline_tries_the_arguments_the_trainer_came_with(make_trainer, search):
    space = {**LR, "num_train_epochs": hpsearch.Int(1, 3), "seed": hpsearch.Int(1, 50)}
    found = []

    class Observer:
        @hpsearch.hookimpl
        def hpsearch_open(self, study):
            found.append(study)

    search(make_trainer(), space, n_trials=2, baseline=True, plugins=[Observer()])
    assert dict(found[0].trials[0]) == {"learning_rate": 0.05, "num_train_epochs": 2, "seed": 42}
    assert dict(found[0].trials[1]) != dict(found[0].trials[0])


def test_a_baseline_outside_of_the_space_is_refused(make_trainer, search):
    with pytest.raises(ArgumentError, match=r"baseline=True.*'learning_rate'.*0\.05"):
        search(make_trainer(), {"learning_rate": hpsearch.Float(1e-6, 1e-4)}, baseline=True)


def test_a_search_that_was_ended_goes_on_to_the_same_total(make_trainer, search, tmp_path):
    """Upstream's n_trials start again after a crash."""
    options = {"storage": tmp_path / "study.db", "keep_checkpoints": 1}

    def dies(metrics):
        raise KeyboardInterrupt

    first = search(make_trainer(), LR, n_trials=2, **options)
    trainer = make_trainer()
    with pytest.raises(hpsearch.SearchInterrupted):
        search(trainer, LR, n_trials=4, resume=True, compute_objective=dies, **options)
    assert trainer.args.learning_rate == 0.05
    assert trainer.is_in_train is False
    last = search(make_trainer(), LR, n_trials=4, resume=True, **options)
    study = hpsearch.load(tmp_path / "study.db")
    assert [trial.number for trial in study.trials if trial.state == "complete"] == [0, 1, 2, 3]
    assert study.trials[int(first.run_id)].objective == first.objective
    assert last.objective == min(trial.objective for trial in study.trials)


def test_the_best_model_of_a_loaded_study_comes_back(make_trainer, search, tmp_path):
    """The journal has what a trial recorded, so another process can go on from it."""
    from hpsearch.transformers import load_best_model, refit

    search(make_trainer(), LR, n_trials=2, storage=tmp_path / "study.db", keep_checkpoints=1)
    best = hpsearch.load(tmp_path / "study.db").best
    trainer = make_trainer()
    load_best_model(trainer, best)
    assert trainer.evaluate()["eval_loss"] == best.objective
    refit(trainer, best)
    assert trainer.evaluate()["eval_loss"] == best.objective


def test_a_timeout_starts_no_further_trial(make_trainer):
    study = hpsearch.search(
        TrainerObjective(make_trainer()),
        LR,
        backend="random",
        n_trials=50,
        timeout=0.001,
        progress=False,
    )
    assert len(study.trials) < 50


def test_what_is_optimised_is_said_before_the_first_trial(make_trainer, search, caplog):
    # At the level that shows without any setting, since nobody chose the objective.
    caplog.set_level(logging.WARNING, "hpsearch")
    search(make_trainer(), LR, direction="minimize")
    assert "objective: eval_loss, minimize, of each trial's last evaluation" in caplog.text


@pytest.mark.parametrize(
    ("direction", "goal", "warns"),
    [
        ("minimize", "maximize", True),
        ("minimize", "minimize", False),
    ],
)
@pytest.mark.parametrize("dialect", ["wandb", "sigopt"])
@pytest.mark.parametrize("as_function", [False, True], ids=["given", "returned"])
def test_the_direction_counts_and_a_goal_that_says_otherwise_is_named_in_a_warning(
    make_trainer, search, caplog, direction, goal, warns, dialect, as_function
):
    pytest.importorskip(f"hpsearch_{dialect}")
    space = {
        "wandb": {
            "method": "random",
            "metric": {"name": "loss", "goal": goal},
            "parameters": {"learning_rate": {"min": 0.001, "max": 0.1}},
        },
        "sigopt": {
            "parameters": [
                {"name": "learning_rate", "type": "double", "bounds": {"min": 0.001, "max": 0.1}}
            ],
            "metrics": [{"name": "loss", "objective": goal}],
        },
    }[dialect]
    given = (lambda trial: space) if as_function else space
    best = search(make_trainer(), given, n_trials=3, direction=direction)
    study = best.study
    assert study.directions == (direction,)
    assert best.objective == min(trial.objective for trial in study.trials)
    said = f"direction is {direction}, and the space says {goal} of its metric; the direction count"
    assert (said in caplog.text) == warns
