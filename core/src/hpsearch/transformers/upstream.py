"""What callers of ``Trainer.hyperparameter_search`` already pass, in this package's words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from enum import Enum
from os import PathLike
from typing import Any, Final

from hpsearch.errors import ArgumentError
from hpsearch.execution.executor import ExecutorSpec
from hpsearch.plugins import registry
from hpsearch.space.distributions import Categorical, Distribution, Float, Int

DEFAULT_SPACE: dict[str, Distribution] = {
    "learning_rate": Float(1e-6, 1e-4, log=True),
    "num_train_epochs": Int(1, 5),
    "seed": Int(1, 40),
    "per_device_train_batch_size": Categorical([4, 8, 16, 32, 64]),
}
"""The space searched when none is given: that of ``transformers.default_hp_space_optuna``."""


class _PlainDirection(str):
    """The direction that upstream's signature shows, where the user gave none."""

    __slots__ = ()


DEFAULT_DIRECTION: Final = _PlainDirection("minimize")
"""Equal to upstream's default; the space or the Trainer's arguments may say another one."""

_RENAMED = {"directions": "direction", "show_progress_bar": "progress"}

_OF_THE_STUDY = {"study_name": "name", "load_if_exists": "resume"}
"""What names and continues a study: in Optuna's own storage by Optuna's words, else by ours."""

_ANSWERED = {
    "callbacks": "observe the search with plugins=[...], objects with methods marked @hookimpl",
}


def direction_given(direction: str | Sequence[str] | None) -> str | Sequence[str] | None:
    """Return the direction, None where the user gave none."""
    return None if isinstance(direction, _PlainDirection) else direction


def backend_name(backend: Any) -> str | None:
    """Return the backend's name, also where transformers' enumeration of backends is given."""
    name: str | None = backend.value if isinstance(backend, Enum) else backend
    return name


def translated(options: dict[str, Any], backend: str | None = None) -> dict[str, Any]:
    """Return the options under the names that :func:`hpsearch.search` has for them.

    ``gc_after_trial`` may be given and changes nothing: memory is always released. An option that
    the backend or the executor has itself, as Ray has ``callbacks``, is left to it.

    Raises:
        ArgumentError: An option has another way now, or is given under both its names.
    """
    options = dict(options)
    options.pop("gc_after_trial", None)
    n_jobs = options.pop("n_jobs", 1)
    if n_jobs != 1:
        raise ArgumentError(
            f"n_jobs is {n_jobs!r}, and threads would share one Trainer; n_workers={n_jobs!r} asks "
            "for worker processes, each with a Trainer of its own"
        )
    for name, answer in _ANSWERED.items():
        if name in options and not _has_option(name, backend, options.get("executor", "inline")):
            raise ArgumentError(f"{name!r} is not taken here: {answer}")
    renamed = _RENAMED if _is_the_backends(options.get("storage")) else _RENAMED | _OF_THE_STUDY
    for old, new in renamed.items():
        if old in options:
            if new in options:
                raise ArgumentError(f"{old!r} and {new!r} are the same option; give one of them")
            options[new] = options.pop(old)
    return options


def _has_option(name: str, backend: str | None, executor: Any) -> bool:
    """Whether the backend or the executor has an option of that name."""
    options = registry.find(backend).load().Options
    return name in {*(field.name for field in fields(options)), *ExecutorSpec.of(executor).options}


def _is_the_backends(storage: Any) -> bool:
    """Whether a storage is an engine's own, an object or a URL, and not the path of a journal."""
    if isinstance(storage, str):
        return "://" in storage
    return storage is not None and not isinstance(storage, PathLike)
