"""A field that no training reads is refused by name before the first trial."""

import logging
from dataclasses import dataclass, fields

import pytest
import torch
from transformers import (
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

import hpsearch
from hpsearch.errors import ArgumentError
from hpsearch.transformers import inert

RATE = hpsearch.Float(1e-3, 0.1, log=True)
SHARE = hpsearch.Float(0.5, 0.99)
COUNT = hpsearch.Int(1, 4)

has_warmup_ratio = "warmup_ratio" in {field.name for field in fields(TrainingArguments)}
warmup_ratio = pytest.mark.skipif(not has_warmup_ratio, reason="this transformers has none")


def never(metrics):
    raise AssertionError("no trial should run")


def refusal(search, trainer, space, **options):
    with pytest.raises(ArgumentError, match="is searched and changes nothing") as refused:
        search(trainer, space, compute_objective=never, **options)
    return str(refused.value)


@pytest.mark.parametrize(
    ("given", "name", "parameter", "why"),
    [
        ({"max_steps": 3}, "num_train_epochs", COUNT, "max_steps is 3"),
        ({"optim": "sgd"}, "adam_beta1", SHARE, "optim is 'sgd'"),
        ({"optim": "adafactor"}, "adam_epsilon", RATE, "optim is 'adafactor'"),
        ({"optim": "rmsprop"}, "adam_beta2", SHARE, "optim is 'rmsprop'"),
        ({"lr_scheduler_type": "constant"}, "warmup_steps", COUNT, "'constant', which does not"),
        ({"lr_scheduler_type": "reduce_lr_on_plateau"}, "warmup_steps", COUNT, "plateau"),
        ({"eval_strategy": "epoch"}, "eval_steps", COUNT, "eval_strategy is 'epoch'"),
        pytest.param(
            {"warmup_steps": 3}, "warmup_ratio", SHARE, "warmup_steps is 3", marks=warmup_ratio
        ),
        pytest.param(
            {"lr_scheduler_type": "constant"},
            "warmup_ratio",
            SHARE,
            "'constant'",
            marks=warmup_ratio,
        ),
    ],
)
def test_a_field_that_the_other_arguments_leave_unread(
    make_trainer, search, given, name, parameter, why
):
    text = refusal(search, make_trainer(**given), {name: parameter, "learning_rate": RATE})
    assert repr(name) in text
    assert why in text


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"max_steps": 3}, "learning_rate"),
        ({"optim": "adamw_torch"}, "adam_beta1"),
        ({"optim": "sgd"}, "learning_rate"),
        ({"optim": "sgd"}, "weight_decay"),
        ({"optim": "adafactor"}, "weight_decay"),
        ({"lr_scheduler_type": "linear"}, "warmup_steps"),
        ({"lr_scheduler_type": "constant_with_warmup"}, "warmup_steps"),
        ({"eval_strategy": "steps", "eval_steps": 1}, "eval_steps"),
        ({}, "num_train_epochs"),
        ({}, "seed"),
    ],
)
def test_a_field_that_is_read_is_not_refused(make_trainer, given, name):
    assert inert.reason(make_trainer(**given), name, {}) is None


@pytest.mark.parametrize("name", ["learning_rate", "adam_beta1", "optim"])
def test_what_an_optimizer_class_of_the_users_makes_unread(make_trainer, search, name):
    trainer = make_trainer()
    trainer.optimizer_cls_and_kwargs = (torch.optim.AdamW, {"lr": 1e-3})
    space = {name: hpsearch.Categorical(["sgd", "adamw_torch"]) if name == "optim" else SHARE}
    assert "optimizer_cls_and_kwargs, which count instead" in refusal(search, trainer, space)
    assert inert.reason(trainer, "weight_decay", {}) is None


def test_what_another_searched_field_decides_is_searched(make_trainer, search):
    optims = hpsearch.Categorical(["sgd", "adamw_torch"])
    schedules = hpsearch.Categorical(["constant", "linear"])
    space = {
        "optim": optims,
        "adam_beta1": SHARE,
        "lr_scheduler_type": schedules,
        "warmup_steps": COUNT,
    }
    best = search(make_trainer(), space, n_trials=2)
    assert best.trial.params.keys() == space.keys()


def test_where_no_choice_of_the_other_field_reads_it_it_is_refused(make_trainer, search):
    optims = hpsearch.Categorical(["sgd", "adagrad"])
    assert "'adam_beta1'" in refusal(search, make_trainer(), {"optim": optims, "adam_beta1": SHARE})
    steps = {"max_steps": hpsearch.Int(1, 5), "num_train_epochs": COUNT}
    assert "'num_train_epochs'" in refusal(search, make_trainer(), steps)


def test_what_a_define_by_run_space_only_works_with_is_not_refused(make_trainer, search):
    def hp_space(trial):
        return {"max_steps": 2 * trial.suggest_int("num_train_epochs", 1, 2)}

    assert search(make_trainer(max_steps=1), hp_space).trial.attrs["arguments"]["max_steps"] > 1

    def returned(trial):
        return {"num_train_epochs": trial.suggest_int("num_train_epochs", 1, 2)}

    assert "max_steps is 1" in refusal(search, make_trainer(max_steps=1), returned)
    space = {"num_train_epochs": COUNT}
    assert "max_steps is 1" in refusal(search, make_trainer(max_steps=1), lambda trial: space)


def test_code_of_the_users_own_may_read_any_field(make_trainer, toys, tmp_path):
    class Reads(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            state.epochs = args.num_train_epochs

    def model_init(trial=None):
        return toys.Net(8 if trial is None else trial["num_train_epochs"])

    @dataclass
    class Own(TrainingArguments):
        unrelated: int = 1

    @dataclass
    class Doubles(Own):
        def __post_init__(self):
            super().__post_init__()
            self.doubled = 2 * self.num_train_epochs

    def why(**given):
        return inert.reason(make_trainer(max_steps=3, **given), "num_train_epochs", {})

    assert why() is not None
    assert why(callbacks=[Reads()]) is None
    assert why(model_init=model_init) is None
    trainer = make_trainer()
    trainer.args = toys.make_arguments(tmp_path, Own, max_steps=3)
    assert inert.reason(trainer, "num_train_epochs", {}) is not None
    trainer.args = toys.make_arguments(tmp_path, Doubles, max_steps=3)
    assert inert.reason(trainer, "num_train_epochs", {}) is None


def test_a_trainer_that_makes_its_own_optimizer_may_read_any_field(make_trainer):
    class Own(Trainer):
        def create_optimizer(self, *args):
            return super().create_optimizer(*args)

    assert inert.reason(make_trainer(cls=Own, optim="sgd"), "adam_beta1", {}) is None


def test_generation_that_no_evaluation_does(tmp_path, toys):
    def why(cls, **given):
        args = toys.make_arguments(tmp_path, Seq2SeqTrainingArguments, **given)
        trainer = cls(args=args, model_init=toys.new_net, eval_dataset=toys.make_data())
        return inert.reason(trainer, "generation_num_beams", {})

    assert "predict_with_generate" in why(Seq2SeqTrainer)
    assert "predict_with_generate" in why(Trainer, predict_with_generate=True)
    assert why(Seq2SeqTrainer, predict_with_generate=True) is None


# A factory's Trainers.


def test_a_factory_that_gives_an_optimizer_is_told_what_it_leaves_unread(
    make_trainer, search, toys
):
    def build(trial):
        model = toys.Net()
        trainer = make_trainer(model=model)
        trainer.optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        return trainer

    text = refusal(search, None, {"learning_rate": RATE}, trainer_factory=build)
    assert "the Trainer was given an optimizer" in text


def test_a_factory_that_reads_what_its_trainer_does_not_is_warned_once(
    make_trainer, search, caplog
):
    def build(trial):
        return make_trainer(max_steps=1, num_train_epochs=trial["num_train_epochs"])

    with caplog.at_level(logging.WARNING, "hpsearch"):
        search(None, {"num_train_epochs": COUNT}, trainer_factory=build, n_trials=3)
    (warning,) = [r.getMessage() for r in caplog.records if "max_steps" in r.getMessage()]
    assert "'num_train_epochs' seems to change nothing: max_steps is 1" in warning
