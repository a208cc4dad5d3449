"""A Trainer comes back as it was given, whatever a trial did to it, and its memory is released."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transformers import Trainer
from transformers.trainer_callback import ExportableState

from hpsearch.transformers import compat


class Snapshot:
    """A Trainer's attributes, and those of its parts, as they were when this was made.

    Parts are what training changes in place: the callbacks and their handler, the control flags,
    the collator, accelerate's gradient state. Objects they hold are not copied, so a callback that
    collects into a list of its user's goes on doing so.
    """

    def __init__(self, trainer: Trainer) -> None:
        handler = trainer.callback_handler
        parts: list[Any] = [
            trainer,
            handler,
            *handler.callbacks,
            trainer.control,
            trainer.data_collator,
            trainer.accelerator.gradient_state,
            *compat.inner_parts(trainer),
        ]
        self._attributes = [
            (part, vars(part).copy()) for part in parts if hasattr(part, "__dict__")
        ]
        self._callbacks = (handler.callbacks, list(handler.callbacks))

    def restore(self) -> None:
        """Put every attribute back; what the trial added is forgotten."""
        for part, attributes in self._attributes:
            vars(part).clear()
            vars(part).update(attributes)
        listed, callbacks = self._callbacks
        listed[:] = callbacks


def start_afresh(trainer: Trainer) -> None:
    """Give a Trainer that may have trained before the state that ``__init__`` gives it.

    A callback that can export its state is set back to how it was constructed, so that what an
    earlier training counted up does not stop this one.
    """
    for callback in trainer.callback_handler.callbacks:
        if isinstance(callback, ExportableState):
            vars(callback).update(vars(type(callback)(**callback.state()["args"])))
    trainer.create_accelerator_and_postprocess()
    compat.forget_what_was_read(trainer)


@contextmanager
def restored(trainer: Trainer) -> Iterator[Trainer]:
    """Lend a Trainer to one trial and restore it, with the trial's memory released."""
    snapshot = Snapshot(trainer)
    try:
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
        snapshot.restore()
        accelerator.free_memory()  # collects garbage and empties the device's cache as well


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
