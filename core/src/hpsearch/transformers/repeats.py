"""Cross-validation and repeats: a trial that trains several times and counts as their mean."""

from __future__ import annotations

import logging
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from statistics import fmean
from typing import TYPE_CHECKING, Any, cast

from torch.utils.data import Subset

from hpsearch.errors import ArgumentError, TrialPruned, brief, listed, nearest
from hpsearch.study.outcome import TrialState
from hpsearch.study.trial import Trial
from hpsearch.validators import is_number, text, whole

if TYPE_CHECKING:
    from hpsearch.study.record import TrialRecord

logger = logging.getLogger("hpsearch")


class Repeats(ABC):
    """How often, and with what changed each time, a trial trains.

    Args:
        count: How many trainings a trial has, at least 2.
    """

    label: str
    """What one training is called; its folder is ``<label>-<number>``."""

    def __init__(self, count: int) -> None:
        self.count = whole(f"the number of {self.label}s", count, 2)

    @abstractmethod
    def check(self, trainer: Any, names: Iterable[str]) -> None:
        """Raise :class:`ArgumentError` unless a Trainer can be trained so.

        Args:
            trainer: The Trainer, or None where each trial builds its own.
            names: The searched parameters that are known before the first trial.
        """

    @abstractmethod
    def set_data(self, trainer: Any, number: int) -> None:
        """Give a Trainer the data of one training."""

    @abstractmethod
    def seed_shift(self, number: int) -> int:
        """Return what is added to the seed in one training."""

    def run(
        self, trial: Trial, train: Callable[[Trial, Part], tuple[float, ...]]
    ) -> tuple[float, ...]:
        """Train as often as it takes, and report the mean so far after each training.

        Args:
            trial: The trial. The steps of its reports are the numbers of finished trainings.
            train: Trains once. It gets the part twice: first in the place of the trial.

        Returns:
            The mean of each objective.

        Raises:
            TrialPruned: The study wanted the trial stopped.
        """
        parts: list[Part] = []
        try:
            for number in range(self.count):
                part = Part(trial, self, number, parts[0] if parts else None)
                part.objectives = train(cast("Trial", part), part)
                parts.append(part)
                trial.channel.annotate("repeats", [done.to_dict() for done in parts])
                trial.report(_mean([done.objectives for done in parts]), len(parts))
                means = _mean_metrics([done.facts["metrics"] for done in parts])
                trial.channel.annotate("metrics", means)
                if len(parts) < self.count and trial.should_prune():
                    raise TrialPruned
        finally:
            _constrain(trial, parts)
        return _mean([part.objectives for part in parts])


class Seeds(Repeats):
    """Train each trial with several seeds, so that luck counts less.

    The seeds are the Trainer's own and those that follow it: 42, 43, 44.

    Args:
        count: How many, at least 2.

    Raises:
        ArgumentError: ``count`` is not such a number.

    Example:
        >>> hyperparameter_search(trainer, repeats=Seeds(3))  # doctest: +SKIP
    """

    label = "seed"

    def check(self, trainer: Any, names: Iterable[str]) -> None:
        if "seed" in names:
            raise ArgumentError(
                f"'seed' is searched, and repeats={self!r} trains each trial with several seeds; "
                "leave out one of the two"
            )

    def set_data(self, trainer: Any, number: int) -> None:
        pass

    def seed_shift(self, number: int) -> int:
        return number

    def __repr__(self) -> str:
        return f"Seeds({self.count})"


class Folds(Repeats):
    """Cross-validate each trial on the Trainer's ``train_dataset``.

    It is split into ``count`` folds, the same in every trial. Each training leaves out one fold
    and is evaluated on it, in place of the Trainer's ``eval_dataset``.

    Args:
        count: How many folds, from 2 to the number of examples.
        stratify_by: The name of a column, such as ``"labels"``. Each of its values is then spread
            evenly over the folds.
        seed: Shuffles the examples before they are split.

    Raises:
        ArgumentError: ``count`` or ``seed`` is not such a number, or ``stratify_by`` not a text.

    Example:
        >>> hyperparameter_search(trainer, repeats=Folds(5, stratify_by="labels"))  # doctest: +SKIP
    """

    label = "fold"

    def __init__(self, count: int, *, stratify_by: str | None = None, seed: int = 0) -> None:
        super().__init__(count)
        self.stratify_by = None if stratify_by is None else text("stratify_by", stratify_by)
        self.shuffle_seed = whole("seed", seed)

    def check(self, trainer: Any, names: Iterable[str]) -> None:
        if trainer is None:
            return
        _check_evaluator(trainer)
        self.split(trainer.train_dataset)
        if trainer.eval_dataset is not None:
            logger.info("each fold of train_dataset is evaluated on, and eval_dataset is not")

    def set_data(self, trainer: Any, number: int) -> None:
        _check_evaluator(trainer)
        data = trainer.train_dataset
        folds = self.split(data)
        others = [index for fold in folds if fold is not folds[number] for index in fold]
        trainer.train_dataset = _selected(data, sorted(others))
        trainer.eval_dataset = _selected(data, folds[number])

    def seed_shift(self, number: int) -> int:
        return 0

    def split(self, data: Any) -> list[list[int]]:
        """Return the indices of each fold's examples.

        Raises:
            ArgumentError: The data cannot be split so.
        """
        if isinstance(data, Mapping) or not (
            hasattr(data, "__len__") and hasattr(data, "__getitem__")
        ):
            raise ArgumentError(
                f"train_dataset is of type {type(data).__name__}, and only one dataset with a "
                "length and indices can be split into folds"
            )
        if len(data) < self.count:
            raise ArgumentError(f"train_dataset has {len(data)} examples, too few for {self!r}")
        order = list(range(len(data)))
        random.Random(self.shuffle_seed).shuffle(order)
        if self.stratify_by is not None:
            labels = _column(data, self.stratify_by)
            rank = {label: n for n, label in enumerate(dict.fromkeys(labels))}
            order.sort(key=lambda index: rank[labels[index]])
        return [sorted(order[start :: self.count]) for start in range(self.count)]

    def __repr__(self) -> str:
        by = "" if self.stratify_by is None else f", stratify_by={self.stratify_by!r}"
        seed = f", seed={self.shuffle_seed}" if self.shuffle_seed else ""
        return f"Folds({self.count}{by}{seed})"


class Part(Mapping[str, Any]):
    """What stands for a trial in one of its trainings.

    It is the trial, but what a training reports, and what its run leaves, stays here.

    Args:
        trial: The whole trial.
        repeats: How it trains.
        number: Which training this is, from 0.
        first: The first part, if this is a later one.
    """

    def __init__(self, trial: Trial, repeats: Repeats, number: int, first: Part | None) -> None:
        self.whole = trial
        self.name = f"{repeats.label}-{number}"
        self._of = repr(repeats)
        self.seed_shift = repeats.seed_shift(number)
        self.set_data = partial(repeats.set_data, number=number)
        self.objectives: tuple[float, ...] = ()
        self.intermediate: dict[int, Any] = {}
        self.constraints: dict[str, float] = {}
        earlier: PartChannel | None = None if first is None else first.channel
        self.channel: PartChannel = PartChannel(trial, earlier)

    @property
    def facts(self) -> dict[str, Any]:
        """What the run noted about this training."""
        return self.channel.facts

    def report(self, value: Any, step: int, checkpoint: str | None = None) -> None:
        """Keep an evaluation of this training; the trial reports means of trainings alone."""
        self.intermediate[step] = value

    def should_prune(self) -> bool:
        """No training is pruned halfway."""
        return False

    def set_constraint(self, name: str, value: float) -> None:
        """Keep a constraint of this training; the largest value of all trainings counts."""
        self.constraints[name] = value

    def to_dict(self) -> dict[str, Any]:
        """Return what the trial's record keeps of this training, as JSON."""
        of = {"name": self.name, "of": self._of}
        return {**of, "objectives": list(self.objectives), **self.facts}

    def __getitem__(self, name: str) -> Any:
        return self.whole[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.whole)

    def __len__(self) -> int:
        return len(self.whole)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.whole, name)


class PartChannel:
    """A part's way to the study: of several trainings, the first speaks for the trial."""

    _OF_THE_TRIAL = frozenset(
        {"arguments", "environment", "output_dir", "run_name", "search", "training_seed"}
    )

    def __init__(self, trial: Trial, first: PartChannel | None) -> None:
        self.facts: dict[str, Any] = {}
        self._trial = trial
        self._is_first = first is None
        self.agreed: dict[str, Any] = {} if first is None else first.agreed

    def annotate(self, name: str, value: Any) -> None:
        """Note a fact: about the trial, or about this training alone."""
        if name not in self._OF_THE_TRIAL:
            self.facts[name] = value
        elif self._is_first:
            self._trial.channel.annotate(name, value)

    def agree(self, name: str, decide: Callable[[], Any]) -> Any:
        """Decide a value once for all trainings, in all processes that train together."""
        if name not in self.agreed:
            self.agreed[name] = self._trial.channel.agree(name, decide)
        return self.agreed[name]


def check_repeats(repeats: Any, *, checkpoint: bool) -> None:
    """Raise :class:`ArgumentError` unless this is a way to repeat, and what is kept can be had.

    Args:
        repeats: What was given, perhaps None.
        checkpoint: Whether each trial has to leave its model.
    """
    if repeats is None:
        return
    if not isinstance(repeats, Repeats):
        raise ArgumentError(
            f"repeats is {brief(repeats)}, expected Folds(5) or Seeds(3) of hpsearch.transformers"
        )
    if checkpoint:
        raise ArgumentError(
            f"keep_checkpoints keeps a trial's model, and with repeats={repeats!r} a trial has "
            f"{repeats.count}; leave it out, and train the best run's model by refit(trainer, best)"
        )


def check_continued(trials: Iterable[TrialRecord], repeats: Repeats | None) -> None:
    """Raise :class:`ArgumentError` if a study's trials were trained otherwise than the next ones.

    Args:
        trials: Those that the study has; what has no metrics was not trained by a Trainer.
        repeats: How the next trials train.
    """
    for trial in trials:
        if trial.state is TrialState.COMPLETE and "metrics" in trial.attrs:
            then = trial.attrs["repeats"][0]["of"] if "repeats" in trial.attrs else "None"
            if then != repr(repeats):
                raise ArgumentError(
                    f"repeats is {repeats!r}, and trial {trial.number} of this study was trained "
                    f"with repeats={then}: the two cannot be compared. Go on with the repeats "
                    "that the study has, or begin another study"
                )


def _check_evaluator(trainer: Any) -> None:
    if getattr(trainer, "evaluator", None) is not None:
        raise ArgumentError(
            "the Trainer has an evaluator, which evaluates the data that it was built with and not "
            "the fold that was left out; use repeats=Seeds(...), or evaluate by the loss"
        )


def _selected(data: Any, indices: Sequence[int]) -> Any:
    return data.select(indices) if hasattr(data, "select") else Subset(data, indices)


def _column(data: Any, name: str) -> list[Any]:
    """Return one value for each example.

    Raises:
        ArgumentError: There is no such column, or its values are not plain.
    """
    names = getattr(data, "column_names", None) or (
        list(data[0]) if isinstance(data[0], Mapping) else []
    )
    if name not in names:
        raise ArgumentError(
            f"stratify_by is {name!r}, and train_dataset has {listed(names) or 'no names'}."
            f"{nearest(name, names)}"
        )
    values = data[name] if hasattr(data, "column_names") else [example[name] for example in data]
    plain = [value.tolist() if hasattr(value, "tolist") else value for value in values]
    for value in plain:
        if not isinstance(value, str | int | float | None):
            raise ArgumentError(
                f"stratify_by is {name!r}, and its values are not labels: {brief(value)}"
            )
    return plain


def _mean(rows: Sequence[Sequence[float]]) -> tuple[float, ...]:
    return tuple(fmean(column) for column in zip(*rows, strict=True))


def _mean_metrics(metrics: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the mean of each number that all trainings measured."""
    return {
        name: fmean(row[name] for row in metrics)
        for name in metrics[0]
        if all(is_number(row.get(name)) for row in metrics)
    }


def _constrain(trial: Trial, parts: Sequence[Part]) -> None:
    """Keep each constraint's largest value, since a trial is as feasible as its worst training."""
    names = dict.fromkeys(name for part in parts for name in part.constraints)
    for name in names:
        values = (part.constraints[name] for part in parts if name in part.constraints)
        trial.set_constraint(name, max(values))
