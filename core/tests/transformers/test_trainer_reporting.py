"""A reporting callback opens one run for each trial, under the run's name."""

import pytest
from transformers import TrainerCallback

import hpsearch
from hpsearch.transformers import TrainerObjective

RATES = {"learning_rate": hpsearch.Categorical([0.05, 0.01])}


class Reports(TrainerCallback):
    """What every reporting callback of transformers looks at when a training begins."""

    def __init__(self, runs):
        self.runs = runs

    def on_train_begin(self, args, state, control, **kwargs):
        self.runs.append((state.is_hyper_param_search, state.trial_name, state.trial_params))


def search_twice(trainer, **options):
    return hpsearch.search(
        TrainerObjective(trainer, **options), RATES, backend="grid", n_trials=2, progress=False
    )


def test_each_callback_is_told_the_trial(make_trainer):
    runs = []
    search_twice(make_trainer(callbacks=[Reports(runs)]))
    assert runs == [
        (True, "run-0", {"learning_rate": 0.05}),
        (True, "run-1", {"learning_rate": 0.01}),
    ]


def test_a_callback_of_the_trainer_given_comes_after_ours(make_trainer):
    """Also one that the user put first."""
    runs = []
    trainer = make_trainer()
    trainer.callback_handler.callbacks.insert(0, Reports(runs))
    search_twice(trainer, hp_name=lambda trial: f"rate_{trial['learning_rate']}")
    assert [name for _, name, _ in runs] == ["rate_0.05", "rate_0.01"]


def test_a_training_afterwards_is_no_trial(make_trainer):
    runs = []
    trainer = make_trainer(callbacks=[Reports(runs)])
    search_twice(trainer)
    trainer.train()
    assert runs[-1] == (False, None, None)


def test_tensorboard_has_one_run_for_each_trial(make_trainer, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    search_twice(make_trainer(report_to=["tensorboard"], logging_strategy="epoch"))
    folders = sorted({path.parent for path in tmp_path.rglob("events.out.tfevents.*")})
    assert [folder.name for folder in folders] == ["run-0", "run-1"]
    for folder in folders:
        events = EventAccumulator(str(folder)).Reload()
        assert len(events.Scalars("eval/loss")) == 2


def test_a_pruned_trial_closes_its_tensorboard_run(make_trainer, tmp_path):
    pytest.importorskip("tensorboard")

    class PruneFirst:
        @hpsearch.hookimpl
        def hpsearch_report(self, study, trial, step, values):
            return trial.number == 0

    study = hpsearch.search(
        TrainerObjective(make_trainer(report_to=["tensorboard"])),
        RATES,
        backend="grid",
        n_trials=2,
        plugins=[PruneFirst()],
        progress=False,
    )
    assert study.trials[0].state == "pruned"
    assert len({path.parent for path in tmp_path.rglob("events.out.tfevents.*")}) == 2
