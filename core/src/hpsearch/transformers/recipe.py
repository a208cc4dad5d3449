"""How a Trainer travels to another process: as what it was built from, and built again there.

A Trainer itself does not travel. Once a process has trained, its Trainers hold accelerate's state,
which cannot be pickled; before that they would, with a model that no trial needs.
"""

from __future__ import annotations

import copyreg
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from transformers import Seq2SeqTrainer, Trainer, TrainerCallback, TrainingArguments

from hpsearch.errors import ArgumentError
from hpsearch.transformers import arguments, compat

_REDUCE = "__reduce_ex__"


@contextmanager
def arguments_travel() -> Iterator[None]:
    """While this lasts, arguments of Trainers are pickled to be set up where they arrive.

    They hold the state that accelerate has in this process, which every process needs of its own.
    """

    def reduced(args: TrainingArguments, _protocol: object) -> Any:
        return _arguments, (type(args), compat.without_process(args))

    setattr(TrainingArguments, _REDUCE, reduced)
    try:
        yield
    finally:
        delattr(TrainingArguments, _REDUCE)


def _arguments(cls: type[TrainingArguments], attributes: Mapping[str, Any]) -> TrainingArguments:
    args = cls.__new__(cls)
    vars(args).update(attributes)
    arguments.check_again(args)
    return args


class Recipe:
    """A Trainer here; pickled and loaded in another process, the same Trainer built there.

    It is built when a trial first asks for it, and later trials in that process share it. What
    was changed on the Trainer after it was built is changed there as well: its arguments, its data
    sets, callbacks added or removed, methods replaced, attributes added.

    Args:
        trainer: The Trainer.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._arrived: Mapping[str, Any] | None = None

    @property
    def trainer(self) -> Trainer:
        """The Trainer, ready to train in this process."""
        if self._arrived is not None:
            _build(self._trainer, **self._arrived)
            self._arrived = None
        return self._trainer

    def parts(self) -> dict[str, Any]:
        """Return what travels, by the names under which an error speaks of it."""
        made_of = _made_of(self._trainer)
        callbacks = [part for part in made_of["callbacks"] if not isinstance(part, type)]
        return {
            "the Trainer's class": type(self._trainer),
            "the Trainer's args": made_of["args"],
            **{f"the Trainer's {name}": part for name, part in made_of["given"].items()},
            **{f"the Trainer's {name}": part for name, part in made_of["others"].items()},
            **{f"the Trainer's callback {type(part).__name__}": part for part in callbacks},
        }

    @contextmanager
    def travelling(self) -> Iterator[None]:
        """While this lasts, what refers to the Trainer is pickled to refer to the one built there.

        Callbacks hold the Trainer that they work for, and functions of a notebook its global name.
        """
        with pickled_by(type(self._trainer), self._reduced):
            yield

    def _reduced(self, trainer: Trainer) -> Any:
        if trainer is self._trainer:
            return _trainer_of, (self,)
        return object.__reduce_ex__(trainer, 4)

    def __reduce__(self) -> Any:
        """Pickle what the Trainer is built from.

        Raises:
            ArgumentError: Its class has a constructor of its own, whose arguments nobody knows.
        """
        if self._arrived is not None:
            return _empty, (type(self._trainer),), self._arrived
        _check_constructor(type(self._trainer))
        return _empty, (type(self._trainer),), _made_of(self._trainer)

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self._arrived = state


@contextmanager
def pickled_by(cls: type[Any], reduce: Callable[[Any], Any]) -> Iterator[None]:
    """While this lasts, what is exactly of this class is pickled as ``reduce`` says."""
    earlier = copyreg.dispatch_table.get(cls)
    copyreg.pickle(cls, reduce)
    try:
        yield
    finally:
        del copyreg.dispatch_table[cls]
        if earlier is not None:
            copyreg.dispatch_table[cls] = earlier


def _empty(cls: type[Trainer]) -> Recipe:
    """Return a recipe whose Trainer exists, for others to refer to, and is not yet built."""
    return Recipe(cls.__new__(cls))


def _trainer_of(recipe: Recipe) -> Trainer:
    return recipe._trainer


def _check_constructor(cls: Any) -> None:
    if cls.__init__ not in (Trainer.__init__, Seq2SeqTrainer.__init__):
        raise ArgumentError(
            f"trials run in other processes here, and {cls.__name__} has a constructor of its own, "
            "so nobody else can build one there: give trainer_factory=, a function of the trial "
            "that returns the Trainer"
        )


def _made_of(trainer: Trainer) -> dict[str, Any]:
    """Return what a Trainer is built from, as :func:`_build` takes it."""
    cls: Any = type(trainer)
    attributes = {k: v for k, v in vars(trainer).items() if k not in compat.BUILT_BY_TRAINERS}
    names = inspect.signature(cls.__init__).parameters.keys() & attributes.keys()
    usual = compat.usual_callbacks(trainer.args)
    return {
        "args": trainer.args,
        "given": {name: attributes.pop(name) for name in sorted(names)},
        "others": attributes,
        "steps": trainer.state.global_step,
        "callbacks": [
            type(callback) if type(callback) in usual else callback
            for callback in trainer.callback_handler.callbacks
        ],
    }


def _build(
    trainer: Any,
    *,
    args: Any,
    given: Mapping[str, Any],
    others: Mapping[str, Any],
    steps: int,
    callbacks: list[type[TrainerCallback] | TrainerCallback],
) -> None:
    """Build a Trainer that has come from another process.

    The usual callbacks are those that the constructor makes here; the user's come as they were, so
    that their ``on_init_end`` is not called a second time.
    """
    type(trainer).__init__(trainer, args=args, **given)
    vars(trainer).update(others)
    trainer.state.global_step = steps  # whether its callbacks have trained before
    usual = {type(callback): callback for callback in trainer.callback_handler.callbacks}
    trainer.callback_handler.callbacks[:] = [
        usual[callback] if isinstance(callback, type) else callback
        for callback in callbacks
        if not isinstance(callback, type) or callback in usual
    ]
