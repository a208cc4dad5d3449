"""What ``model_init`` suggests, and what a trial without parameters is."""

from dataclasses import dataclass

import pytest
from transformers import TrainerCallback, TrainingArguments

import hpsearch
from hpsearch.errors import ArgumentError
from hpsearch.transformers import refit


@dataclass
class OwnArguments(TrainingArguments):
    layers: int = 1


@pytest.mark.parametrize("returned", [{}, None])
def test_a_trial_without_parameters_is_true(make_trainer, search, toys, returned):
    """``if trial:`` in model_init asks whether there is a trial."""

    def model_init(trial=None):
        return toys.Net(trial.suggest_int("width", 4, 8) if trial else 8)

    best = search(make_trainer(model_init=model_init), lambda trial: returned, n_trials=2)
    assert all("width" in trial.params for trial in best.study.trials)
    assert best.trial


def test_model_init_may_suggest_what_the_arguments_own_class_calls_a_field(
    make_trainer, search, toys, tmp_path
):
    """As transformers' own tests do; the training then has the value."""
    seen = []

    class Callback(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            seen.append(args.layers)

    def model_init(trial=None):
        if trial is not None:
            trial.suggest_int("layers", 2, 9)
        return toys.Net()

    trainer = make_trainer(model_init=model_init, callbacks=[Callback()])
    trainer.args = toys.make_arguments(tmp_path, OwnArguments)
    best = search(trainer, lambda trial: {})
    layers = best.hyperparameters["layers"]
    assert set(seen) == {layers}
    assert best.trial.attrs["arguments"] == {"layers": layers}
    assert trainer.args.layers == 1
    assert refit(trainer, best).args.layers == layers


def test_model_init_may_not_suggest_a_field_that_training_has_read(make_trainer, search, toys):
    def model_init(trial=None):
        if trial is not None:
            trial.suggest_float("weight_decay", 0.0, 0.1)
        return toys.Net()

    with pytest.raises(ArgumentError, match=r"'weight_decay'.*suggest it in hp_space"):
        search(make_trainer(model_init=model_init), lambda trial: {})


# What is refused.


def test_a_refusal_is_shown_once(make_trainer, search, toys, caplog):
    """The search raises it, so the log does not show it as well."""

    def model_init(trial=None):
        return toys.Net()

    with pytest.raises(ArgumentError, match="'width' is searched and changes nothing"):
        search(make_trainer(model_init=model_init), {"width": hpsearch.Int(4, 8)})
    assert "'width'" not in caplog.text


def test_a_factory_is_not_told_to_use_a_factory(make_trainer, search):
    with pytest.raises(ArgumentError) as refused:
        search(
            None,
            {"label_smoothing_factor": hpsearch.Float(0.0, 0.2)},
            trainer_factory=lambda trial: make_trainer(),
        )
    advice = "so trainer_factory has to give it trial['label_smoothing_factor']"
    assert advice in str(refused.value)
    assert "give trainer_factory" not in str(refused.value)
