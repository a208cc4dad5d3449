"""Getting a Trainer ready for one training: the one given or one built, seeded, set to values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from transformers import Trainer, TrainingArguments, enable_full_determinism, set_seed
from transformers.trainer_utils import number_of_arguments

from hpsearch.errors import ArgumentError
from hpsearch.transformers import arguments
from hpsearch.transformers.snapshot import release_frames, start_afresh
from hpsearch.transformers.tracked import TrackedTrial

TrainerFactory: TypeAlias = Callable[[Any], Trainer]
"""Takes the trial, a mapping of the parameters; returns a Trainer built with them."""


def check_source(
    trainer: Trainer | None, trainer_factory: TrainerFactory | None, *, brings_data: bool = False
) -> None:
    """Raise :class:`ArgumentError` unless there is one source of Trainers, and it can be used.

    Args:
        trainer: The Trainer.
        trainer_factory: What builds one for each trial.
        brings_data: Whether the search itself gives the Trainer what it is evaluated on.
    """
    check_only_source(trainer, trainer_factory)
    if trainer is None:
        if not callable(trainer_factory):
            raise ArgumentError(
                f"trainer_factory is {trainer_factory!r}, expected a function of the trial"
            )
        return
    if not isinstance(trainer, Trainer):
        raise ArgumentError(f"trainer is {trainer!r}, expected a transformers.Trainer")
    if trainer.model_init is None:
        raise ArgumentError(
            "the Trainer was given a model, and each trial needs a new one: give it "
            "model_init=... instead of model=..., or use trainer_factory=, which works with every "
            "Trainer class"
        )
    builds_loader = type(trainer).get_eval_dataloader is not Trainer.get_eval_dataloader
    if trainer.eval_dataset is None and not builds_loader and not brings_data:
        raise ArgumentError("the Trainer has no eval_dataset, so no trial can be judged")


def check_only_source(trainer: Any, trainer_factory: Any) -> None:
    """Raise :class:`ArgumentError` unless one of the two is given."""
    if (trainer is None) == (trainer_factory is None):
        raise ArgumentError("give either a Trainer or trainer_factory=, and not both")


def check_world(trainer: Trainer, processes: int) -> None:
    """Raise :class:`ArgumentError` unless so many processes train together."""
    size = trainer.args.world_size
    if size == 1 < processes:
        raise ArgumentError(
            f"{processes} processes were started, and the Trainer trains in each of them alone; on "
            "a machine without accelerators they train together with TrainingArguments(use_cpu="
            "True)"
        )
    if size != processes:
        raise ArgumentError(
            f"the Trainer trains in {size} processes together, and the search runs in {processes}; "
            "under torchrun and accelerate launch, call "
            "hpsearch.transformers.hyperparameter_search in each process"
        )


def check_process(name: str) -> None:
    """Raise :class:`ArgumentError` for a field that takes effect only in a new process."""
    if arguments.needs_process(name):
        raise ArgumentError(f"{name!r} cannot be searched: {arguments.PROCESS}")


def built(trainer_factory: TrainerFactory, view: TrackedTrial, seed_shift: int = 0) -> Trainer:
    """Return the Trainer that the factory builds for a trial.

    The seed is set before, to the trial's ``seed`` where that is searched and else to the default
    of TrainingArguments, so that a model built by the factory starts the same in every replay. A
    trial that trains with several seeds shifts it.

    Raises:
        ArgumentError: The factory returned something else.
    """
    for name in view:
        check_process(name)
    set_seed(view.trial.get("seed", TrainingArguments.seed) + seed_shift)
    try:
        trainer = trainer_factory(view)
    except BaseException as error:
        release_frames(error)
        raise
    if not isinstance(trainer, Trainer):
        raise ArgumentError(f"trainer_factory returned {trainer!r}, expected a Trainer")
    return trainer


def set_up(trainer: Trainer, values: Mapping[str, Any], seed_shift: int = 0) -> None:
    """Give a Trainer these values and the state of a new one.

    ``train`` seeds and builds the model where there is a ``model_init``; where a model was given,
    the seed is set here. A trial that trains with several seeds shifts it.
    """
    if seed_shift:
        values = {**values, "seed": values.get("seed", trainer.args.seed) + seed_shift}
    trainer.args = arguments.with_values(trainer.args, values)
    start_afresh(trainer)
    if trainer.model_init is None:
        seed(trainer.args)


def seed(args: TrainingArguments) -> None:
    """Seed every random generator as ``Trainer.train`` does before it builds a model."""
    if args.full_determinism:
        enable_full_determinism(args.seed)
    else:
        set_seed(args.seed)


def takes_nothing(model_init: Any) -> bool:
    """Whether a ``model_init`` takes no argument, so that no trial can reach it."""
    count: int = number_of_arguments(model_init)  # type: ignore[no-untyped-call]
    return count == 0
