"""Each trial starts from what was given, whatever hangs on the Trainer and changes in training."""

import collections
import functools
import os
import random
from argparse import Namespace
from array import array
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn
from transformers import (
    EarlyStoppingCallback,
    PretrainedConfig,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from hpsearch import Categorical
from hpsearch.errors import ArgumentError
from hpsearch.transformers import refit, state

ONE = {"weight_decay": Categorical([0.01])}


def outcomes(best):
    return {(trial.objectives, tuple(trial.intermediate.items())) for trial in best.study.trials}


class Stops(TrainerCallback):
    """Stops a training once what it holds has counted three evaluations, of whatever trial."""

    def on_evaluate(self, args, state, control, metrics, **kwargs):
        control.should_training_stop = self.counted(metrics["eval_loss"]) >= 3


class List(Stops):
    def __init__(self):
        self.losses = []

    def counted(self, loss):
        self.losses.append(loss)
        return len(self.losses)


class Nested(Stops):
    def __init__(self):
        self.history = {"of": {"losses": collections.deque(), "seen": set()}}

    def counted(self, loss):
        self.history["of"]["losses"].append(loss)
        self.history["of"]["seen"].add(len(self.history["of"]["losses"]))
        self.history["last"] = loss
        return max(self.history["of"]["seen"])


class Slotted:
    __slots__ = ("__count", "again")

    def __init__(self):
        self.__count = 0

    def add(self):
        self.__count += 1
        self.again = self
        return self.__count


class Parts(Stops):
    """Objects that refer to each other in a circle, some of them with slots."""

    def __init__(self):
        self.counter = Slotted()
        self.circle = [self, self.counter]

    def counted(self, loss):
        return self.circle[1].add()


class Numbers(Stops):
    def __init__(self):
        self.array, self.tensor = np.zeros(1), torch.zeros(1)
        self.counts, self.plain = collections.Counter(), array("d", [0])

    def counted(self, loss):
        self.array += 0.25
        self.plain[0] += 0.25
        self.tensor += 0.25
        self.counts.update(["seen"])
        numbers = self.array[0] + self.plain[0] + self.tensor[0]
        return float(numbers) + 0.25 * self.counts["seen"]


@pytest.mark.parametrize("make", [List, Nested, Parts, Numbers])
def test_a_callback_starts_each_trial_as_given(make_trainer, search, make):
    """huggingface/setfit#502: what a callback gathered in a trial ended the next one early."""
    trainer = make_trainer(callbacks=[make()], num_train_epochs=4)
    best = search(trainer, ONE, n_trials=3)
    assert len(outcomes(best)) == 1
    assert len(best.trial.intermediate) == 3
    (callback,) = [each for each in trainer.callback_handler.callbacks if type(each) is make]
    assert callback.counted(0.0) == 1  # it came back as given


@pytest.mark.parametrize("make", [List, Nested, Parts, Numbers])
def test_a_callback_that_its_user_holds_starts_each_training_as_given(make_trainer, search, make):
    """Their user may read what it collected, so it stays there between trainings."""
    callback = make()
    trainer = make_trainer(callbacks=[callback], num_train_epochs=4)
    first, second = search(trainer, ONE, n_trials=2), search(trainer, ONE, n_trials=2)
    assert len(outcomes(first) | outcomes(second)) == 1
    assert len(first.trial.intermediate) == 3
    refit(trainer, first)
    assert trainer.state.global_step == 9
    assert trainer.evaluate()["eval_loss"] == first.objective


def test_a_callback_keeps_what_it_collected_for_its_user(make_trainer, search):
    callback = List()
    trainer = make_trainer(callbacks=[callback], num_train_epochs=4)
    first = search(trainer, ONE, n_trials=2)
    losses = [value for values in first.trial.intermediate.values() for value in values]
    assert callback.losses == losses * 2
    callback.losses[:] = [0.5]  # what its user makes of it is given to the next search
    second = search(trainer, ONE, n_trials=2)
    assert [len(trial.intermediate) for trial in second.study.trials] == [2, 2]
    assert callback.losses == [0.5, *losses[:2], *losses[:2]]


def test_callbacks_that_share_an_object_start_each_trial_as_given(make_trainer, search):
    class Shares(List):
        def __init__(self, losses):
            self.losses = losses

    losses = []
    trainer = make_trainer(callbacks=[Shares(losses), Shares(losses)], num_train_epochs=4)
    best = search(trainer, ONE, n_trials=3)
    assert [len(trial.intermediate) for trial in best.study.trials] == [2, 2, 2]
    assert len(losses) == 12  # and it is their user's list, who finds all of it there


class Noisy(torch.utils.data.Dataset[dict[str, object]]):
    """Draws noise for each item, and hardens with each that it has given."""

    def __init__(self, items, generator, draw):
        self.items, self.generator, self.draw = items, generator, draw
        self.given = 0

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        self.given += 1
        noise = float(self.draw(self.generator)) / (1 + self.given)
        return {**self.items[index], "x": self.items[index]["x"] + noise}


GENERATORS = {
    "torch": (lambda: torch.Generator().manual_seed(1), lambda g: torch.rand(1, generator=g)),
    "random": (lambda: random.Random(1), lambda g: g.random()),
    "numpy": (lambda: np.random.default_rng(1), lambda g: g.random()),
    "numpy_old": (lambda: np.random.RandomState(1), lambda g: g.rand()),
}


@pytest.mark.parametrize("kind", GENERATORS)
def test_a_data_set_draws_the_same_in_each_trial(make_trainer, search, toys, kind):
    """huggingface/transformers#16683: trials with one seed and other numbers."""
    make, draw = GENERATORS[kind]
    base = Noisy(toys.make_data(), make(), draw)
    data = torch.utils.data.Subset(base, range(len(base)))
    given = base.generator
    assert len(outcomes(search(make_trainer(train_dataset=data), ONE, n_trials=3))) == 1
    assert base.generator is given
    assert base.given == 0
    assert draw(given) == draw(make())


def test_a_collator_starts_each_trial_as_given(make_trainer, search):
    class Fades:
        """Takes a key away from the items it gets, and adds less noise with each batch."""

        def __init__(self):
            self.batches = 0
            self.generator = np.random.default_rng(0)

        def __call__(self, items):
            self.batches += 1
            x = torch.stack([item["x"] for item in items])
            labels = torch.tensor([item.pop("label", 0) for item in items])
            noise = torch.tensor(self.generator.normal(size=x.shape), dtype=x.dtype)
            return {"x": x + noise / self.batches, "labels": labels}

    data = [{"x": torch.randn(4), "label": n % 2} for n in range(16)]
    trainer = make_trainer(
        data_collator=Fades(), train_dataset=data, remove_unused_columns=False, num_train_epochs=1
    )
    assert len(outcomes(search(trainer, ONE, n_trials=3))) == 1
    assert all("label" in item for item in data)


class Loss(nn.Module):
    """Learns weights, keeps a running mean in a buffer, and counts."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))
        self.norm = nn.BatchNorm1d(2)
        self.calls = 0

    def forward(self, outputs, labels, num_items_in_batch=None):
        self.calls += 1
        logits = self.norm(outputs["logits"]) * self.weight / self.calls
        return nn.functional.cross_entropy(logits, labels)


class Learns(Trainer):
    loss = None

    def create_optimizer(self, *args):
        optimizer = super().create_optimizer(*args)
        loss = self.loss or self.compute_loss_func
        optimizer.add_param_group({"params": list(loss.parameters()), "lr": 0.5})
        return optimizer


@pytest.mark.parametrize("hangs", ["on the Trainer", "in a closure", "on a method", "in a partial"])
def test_a_loss_that_learns_starts_each_trial_as_given(make_trainer, search, hangs):
    """huggingface/sentence-transformers#2939: a loss with weights trains on in the next trial."""
    loss = Loss()
    given = {name: value.clone() for name, value in loss.state_dict().items()}
    parameters = list(loss.parameters())
    function = {
        "on the Trainer": loss,
        "in a closure": lambda *args, **kwargs: loss(*args, **kwargs),
        "on a method": loss.forward,
        "in a partial": functools.partial(loss, num_items_in_batch=None),
    }[hangs]
    trainer = make_trainer(cls=Learns, compute_loss_func=function)
    trainer.loss = loss
    loss.eval()
    assert len(outcomes(search(trainer, ONE, n_trials=3))) == 1
    assert all(torch.equal(given[name], value) for name, value in loss.state_dict().items())
    assert list(map(id, loss.parameters())) == list(map(id, parameters))
    assert loss.calls == 0
    assert not loss.training
    assert all(parameter.grad is None for parameter in parameters)


def everything(make_trainer, toys):
    make, draw = GENERATORS["torch"]
    noisy = Noisy(toys.make_data(), make(), draw)
    return make_trainer(
        cls=Learns,
        train_dataset=noisy,
        callbacks=[Nested()],
        compute_loss_func=Loss(),
        num_train_epochs=4,
    )


@pytest.mark.usefixtures("modules_travel")
def test_trials_start_as_given_in_workers_too(make_trainer, search, toys):
    here = search(everything(make_trainer, toys), ONE, n_trials=1)
    there = search(everything(make_trainer, toys), ONE, n_trials=3, executor="process", n_workers=1)
    assert outcomes(there) == outcomes(here)


@pytest.mark.usefixtures("modules_travel")
def test_what_a_factory_gives_to_each_trainer_is_as_given(make_trainer, search, toys):
    """huggingface/trl's and setfit's pattern: arguments, model and callbacks made once, outside."""
    model, loss, callback = toys.Net(), Loss(), Nested()
    args = toys.make_arguments(make_trainer().args.output_dir, num_train_epochs=4)
    found = []

    def factory(trial):
        return Learns(
            model=model,
            args=args,
            train_dataset=toys.make_data(),
            eval_dataset=toys.make_data(16, seed=1),
            compute_loss_func=loss,
            callbacks=[callback],
        )

    for place in ({}, {"executor": "process", "n_workers": 1}, {}):
        best = search(None, ONE, trainer_factory=factory, n_trials=2, **place)
        found.append(outcomes(best))
        assert len(best.trial.intermediate) == 3
    assert found[0] == found[1] == found[2]
    assert len(found[0]) == 1


@pytest.mark.parametrize("place", [{}, {"executor": "process", "n_workers": 1}])
@pytest.mark.parametrize("shares", ["all", "a part", "a configuration"])
@pytest.mark.usefixtures("modules_travel")
def test_what_models_share_is_as_given(make_trainer, search, toys, shares, place):
    """A pretrained model is loaded once, and each ``model_init`` returns it or builds on it."""
    model, config = toys.Net(), PretrainedConfig(width=8)

    def model_init(trial=None):
        if shares == "all":
            return model
        if trial is not None:
            config.width += 1
        new = toys.Net(config.width if shares == "a configuration" else 8)
        if shares == "a part":
            new.inner = model.inner
        return new

    given = {name: value.clone() for name, value in model.state_dict().items()}
    best = search(make_trainer(model_init=model_init), ONE, n_trials=3, **place)
    assert len(outcomes(best)) == 1
    assert toys.same_weights(given, model.state_dict())
    assert config.width == 8


def test_an_optimizer_that_a_factory_did_not_build_is_as_given(make_trainer, search, toys):
    model = toys.Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)

    def factory(trial):
        return Trainer(
            model=model,
            args=make_trainer(weight_decay=trial["weight_decay"]).args,
            train_dataset=toys.make_data(),
            eval_dataset=toys.make_data(16, seed=1),
            optimizers=(optimizer, None),
        )

    assert len(outcomes(search(None, ONE, trainer_factory=factory, n_trials=3))) == 1
    assert not optimizer.state


def test_what_a_trial_sets_for_its_process_is_put_back(make_trainer, search, tmp_path):
    (tmp_path / "elsewhere").mkdir()

    class Sets(TrainerCallback):
        def on_train_end(self, args, state, control, **kwargs):
            torch.set_default_dtype(torch.float64)
            torch.set_grad_enabled(False)
            torch.use_deterministic_algorithms(True)
            os.chdir(tmp_path / "elsewhere")

    folder = Path.cwd()
    best = search(make_trainer(callbacks=[Sets()]), ONE, n_trials=2)
    assert len(outcomes(best)) == 1
    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()
    assert not torch.are_deterministic_algorithms_enabled()
    assert Path.cwd() == folder


def test_a_callback_starts_as_given_in_another_trainers_search(make_trainer, search):
    callback = List()
    for _ in range(2):
        best = search(make_trainer(callbacks=[callback], num_train_epochs=4), ONE, n_trials=1)
        assert len(best.trial.intermediate) == 3
    assert len(callback.losses) == 6


class Delayed(EarlyStoppingCallback):
    def __init__(self, start_epoch=2, **options):
        super().__init__(**options)
        self.start_epoch = start_epoch
        self.early_stopping_patience_counter = -1

    def on_evaluate(self, args, state, control, metrics, **kwargs):
        if state.epoch >= self.start_epoch:
            super().on_evaluate(args, state, control, metrics, **kwargs)


class Positional(EarlyStoppingCallback):
    def __init__(self, patience):
        super().__init__(early_stopping_patience=patience)


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize(
    ("make", "evaluations"),
    [(lambda: Delayed(start_epoch=3, early_stopping_patience=1), 4), (lambda: Positional(2), 3)],
)
def test_a_subclass_of_early_stopping_keeps_its_options(
    make_trainer, search, make, evaluations, trained
):
    """huggingface/transformers#12729: patience, and a constructor of the subclass's own."""
    trainer = make_trainer(
        num_train_epochs=6,
        save_strategy="epoch",
        load_best_model_at_end=True,
        greater_is_better=True,
        metric_for_best_model="loss",
        callbacks=[make()],
    )
    if trained:
        trainer.train()
        evaluations = min(evaluations, 3)  # what was counted is forgotten, a delay in it as well
    best = search(trainer, ONE, n_trials=2)
    assert [len(trial.intermediate) for trial in best.study.trials] == [evaluations] * 2


@dataclass
class Finished(TrainingArguments):
    """As TRL's GRPOConfig, whose ``__post_init__`` refuses what it has set itself."""

    batches: int | None = None
    steps: int | None = None

    def __post_init__(self):
        super().__post_init__()
        if self.batches is not None and self.steps is not None:
            raise ValueError("give either batches or steps")
        self.batches = self.batches or self.steps or 1
        self.steps = self.steps or self.batches
        self.learning_rate /= 2


@pytest.mark.usefixtures("modules_travel")
@pytest.mark.parametrize("place", [{}, {"executor": "process", "n_workers": 1}])
def test_finished_arguments_are_not_finished_again(search, toys, tmp_path, place):
    def there(args, **place):
        def factory(trial):
            return Trainer(
                model=toys.Net(),
                args=args,
                train_dataset=toys.make_data(),
                eval_dataset=toys.make_data(16, seed=1),
            )

        clipped = {"max_grad_norm": Categorical([0.5])}
        return search(None, clipped, trainer_factory=factory, **place)

    args = toys.make_arguments(tmp_path, Finished, learning_rate=0.1)
    best = there(args, **place)
    assert best.trial.attrs["arguments"] == {"max_grad_norm": 0.5}
    assert (args.learning_rate, args.batches, args.steps) == (0.05, 1, 1)
    assert outcomes(best) == outcomes(there(toys.make_arguments(tmp_path, learning_rate=0.05)))


def test_a_field_that_finished_arguments_do_not_read_again_is_refused(make_trainer, search, toys):
    def factory(trial):
        trainer = make_trainer()
        trainer.args = toys.make_arguments(trainer.args.output_dir, Finished)
        return trainer

    with pytest.raises(ArgumentError, match=r"'steps' cannot be searched.*Finished reads it only"):
        search(None, {"steps": Categorical([1, 2])}, trainer_factory=factory)


def test_what_is_not_put_back_is_named_once(make_trainer, search, caplog, monkeypatch):
    monkeypatch.setattr(state, "MOST_BYTES", 100)
    seen, numbers = [], iter(range(99))

    class Sees(TrainerCallback):
        on_all = collections.Counter()

        def __init__(self):
            self.numbers = numbers
            self.large, self.still = torch.zeros(200), torch.zeros(200)

        def on_evaluate(self, args, state, control, **kwargs):
            seen.append(next(self.numbers))
            self.on_all["evaluations"] += 1
            self.large += 1

    search(make_trainer(callbacks=[Sees()]), ONE, n_trials=3)
    (message,) = [text for text in caplog.messages if "does not put back" in text]
    assert "trial 0 changed" in message
    for name in ("'seen', which Sees.on_evaluate uses", "'on_all' of the class", "Sees.numbers"):
        assert name in message
    assert "Sees.large (0.0 MiB)" in message
    assert "still" not in message


judged: list[int] = []


def test_what_a_factory_and_its_trainer_both_use_is_named_once(make_trainer, search, caplog):
    def compute_metrics(prediction):
        judged.append(1)
        return {"accuracy": 0.5}

    def factory(trial):
        return make_trainer(compute_metrics=compute_metrics)

    search(None, ONE, trainer_factory=factory, compute_objective="loss")
    (message,) = [text for text in caplog.messages if "does not put back" in text]
    assert message.count("'judged'") == 1


options = Namespace(evaluations=0)
counted = ModuleType("counted")
counted.__file__ = "counted.py"
vars(counted)["evaluations"] = 0


def test_variables_of_modules_and_namespaces_are_watched(make_trainer, search, caplog):
    class Counts(TrainerCallback):
        def on_evaluate(self, args, state, control, **kwargs):
            options.evaluations += 1
            counted.evaluations = counted.evaluations + 1

    search(make_trainer(callbacks=[Counts()]), ONE, n_trials=2)
    (message,) = [text for text in caplog.messages if "does not put back" in text]
    assert "'options', which Counts.on_evaluate uses" in message
    assert "'evaluations' of the module counted, which Counts.on_evaluate uses" in message


TABLE = [{"x": torch.full((4,), float(n)), "labels": n % 2} for n in range(16)]


def test_data_that_no_trial_changes_are_not_named(make_trainer, search, caplog):
    class Reads(torch.utils.data.Dataset):
        def __len__(self):
            return len(TABLE)

        def __getitem__(self, index):
            return TABLE[index]

    search(make_trainer(train_dataset=Reads()), ONE, n_trials=2)
    assert "put back" not in caplog.text


def test_a_trainer_of_which_all_is_put_back_gets_no_warning(make_trainer, search, toys, caplog):
    search(everything(make_trainer, toys), ONE, n_trials=2)
    assert not [text for text in caplog.messages if "put back" in text]


def test_large_data_are_not_copied(make_trainer, search, tmp_path):
    """A memory-mapped array is read where it lies, and so is a tensor beyond the limit."""
    mapped = np.memmap(tmp_path / "x", dtype=np.float32, mode="w+", shape=(64, 4))
    big = torch.zeros(state.MOST_BYTES // 4 + 1)
    kept = state.State({"data": {"x": mapped, "y": big}}, collections=[], is_first=True)
    assert kept.changed() == []
    mapped[0] = 1
    big[0] = 1
    assert len(kept.changed()) == 2
    kept.restore()
    assert mapped[0, 0] == 1
    assert big[0] == 1
