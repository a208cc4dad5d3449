"""A Trainer comes back as it was given, whatever a trial did to it, and its memory is released."""

from __future__ import annotations

import gc
import inspect
import logging
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import nn
from transformers import Trainer
from transformers.trainer_callback import ExportableState

from hpsearch.transformers import compat
from hpsearch.transformers.settings import process_settings
from hpsearch.transformers.state import MOST_BYTES, Collection, State, attributes, contents

logger = logging.getLogger("hpsearch")


class Memory:
    """What a process keeps from trial to trial of one search.

    Args:
        collects: Whether what users collect in gathers over the trials; else it is put back like
            everything else.

    Attributes:
        changed: What the first trial changed and nobody puts back, for a reader.
    """

    def __init__(self, *, collects: bool = True) -> None:
        self._collections: list[Collection] = []
        self._is_first = collects
        self.changed: list[str] = []

    @contextmanager
    def trial(self, number: int, *, is_replay: bool = False) -> Iterator[None]:
        """Start a trial as given; name once what the first one changed and nobody puts back."""
        for collection in self._collections:
            collection.begin()
        try:
            with process_settings():
                yield
        finally:
            for collection in self._collections:
                collection.end(is_replay=is_replay)
        if self._is_first and self.changed:
            logger.warning(
                "trial %d changed what hpsearch does not put back, so the next trial starts with "
                "what it left: %s. A trial starts as given with what a callback, a data set, a "
                "collator or a module holds in its own attributes, up to %d MiB in all",
                *(number, "; ".join(self.changed), MOST_BYTES // 2**20),
            )
        self._is_first = False

    @contextmanager
    def kept(
        self,
        parts: Mapping[str, object],
        data: Mapping[str, object] | None = None,
        passed_over: Iterable[object] = (),
    ) -> Iterator[None]:
        """Let a trial change these parts, and put them and all that they hold back after it."""
        state = State(
            parts,
            data=data,
            passed_over=passed_over,
            collections=self._collections,
            is_first=self._is_first,
        )
        try:
            yield
        finally:
            self.changed.extend(path for path in state.changed() if path not in self.changed)
            state.restore()


@contextmanager
def as_given(source: Any) -> Iterator[None]:
    """Make what users collect in as the next search's trials would start with it, for a while.

    Args:
        source: The Trainer, or the function that builds one for each trial.
    """
    is_trainer = isinstance(source, Trainer)
    parts, data = _parts(source) if is_trainer else ({"trainer_factory": source}, {})
    collections: list[Collection] = []
    State(parts, data=data, collections=collections, is_first=True)
    try:
        yield
    finally:
        for collection in collections:
            collection.end()


@contextmanager
def restored(trainer: Trainer, memory: Memory) -> Iterator[Trainer]:
    """Lend a Trainer to one trial and restore it, with the trial's memory released."""
    handler = trainer.callback_handler
    held: list[Any] = [trainer, handler, trainer.control, trainer.accelerator.gradient_state]
    held += compat.inner_parts(trainer)
    own: list[Callable[[], None]] = []
    try:
        # What a factory has built is new in each trial. A ``model_init`` may return the same model,
        # or one with parts that the Trainer's own has as well.
        new = _tensors_and_modules(None if trainer.model_init is not None else trainer.model)
        with memory.kept(*_parts(trainer), new):
            own += (restore for part in held for restore in attributes(part))
            own.append(contents(handler.callbacks))
            yield trainer
    except BaseException as error:
        release_frames(error)
        raise
    finally:
        # NEFTune hooks the embeddings and only an orderly end takes the hook off again.
        hook = getattr(trainer, "neftune_hook_handle", None)
        if hook is not None:
            hook.remove()
        accelerator = trainer.accelerator
        for restore in own:
            restore()
        accelerator.free_memory()  # collects garbage and empties the device's cache as well


def _parts(trainer: Trainer) -> tuple[dict[str, object], dict[str, object]]:
    """Return what a Trainer trains with and its data, by the names that a warning speaks of."""
    attributes = {
        f"trainer.{name}": value
        for name, value in vars(trainer).items()
        if name == "args" or name not in compat.BUILT_BY_TRAINERS
    }
    data = {name: attributes.pop(name) for name in list(attributes) if name.endswith("_dataset")}
    callbacks: dict[str, object] = {}
    for index, callback in enumerate(trainer.callback_handler.callbacks):
        name = type(callback).__name__
        callbacks[f"{name} ({index})" if name in callbacks else name] = callback
    return {**callbacks, **attributes, f"the class {type(trainer).__name__}": type(trainer)}, data


def _tensors_and_modules(model: Any) -> Iterator[object]:
    """Yield what a model is made of."""
    if isinstance(model, nn.Module):
        yield from (model, *model.modules(), *model.parameters(), *model.buffers())


def start_afresh(trainer: Trainer) -> None:
    """Give a Trainer that may have trained before the state that ``__init__`` gives it.

    Where it has, what callbacks export as their state is set back, so that what that training
    counted up does not stop this one.
    """
    if trainer.state.global_step:
        for callback in trainer.callback_handler.callbacks:
            if isinstance(callback, ExportableState):
                vars(callback).update(_initial(callback))
    trainer.create_accelerator_and_postprocess()
    compat.forget_what_was_read(trainer)


def _initial(callback: ExportableState) -> dict[str, Any]:
    """Return a callback's exported attributes as its constructor sets them.

    The exported arguments are those of the class that exports them: a subclass may have a
    constructor of its own. Where they fit no constructor, the callback stays as it is.
    """
    state = callback.state()
    for cls in type(callback).__mro__:
        if "state" in vars(cls) and _takes(cls, state["args"]):
            initial = vars(cls(**state["args"]))
            return {name: initial[name] for name in state["attributes"] if name in initial}
    return {}


def _takes(function: Any, options: Mapping[str, Any]) -> bool:
    try:
        inspect.signature(function).bind(**options)
    except TypeError:
        return False
    return True


@contextmanager
def freeze_gc() -> Iterator[None]:
    """Make garbage collections look only at what is created inside, for as long as it lasts.

    Each training collects garbage, which takes 0.2 s in a process that has loaded transformers:
    more than a short trial. What existed before is set aside by ``gc.freeze`` and comes back at
    the end. A process that has frozen its objects itself is left alone.
    """
    if gc.get_freeze_count():
        yield
        return
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def freeze_gc_for_good() -> None:
    """Have garbage collections pass over what is loaded, for as long as this process lives.

    For a process that only runs trials, as :func:`freeze_gc` for one that does more.
    """
    if not gc.get_freeze_count():
        gc.collect()
        gc.freeze()


def release_frames(error: BaseException) -> None:
    """Drop the local variables of an exception's frames: they hold the model and the optimiser.

    The exception keeps its message, its traceback and its causes.
    """
    seen: set[int] = set()
    following: BaseException | None = error
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        traceback.clear_frames(following.__traceback__)
        following = following.__cause__ or following.__context__
