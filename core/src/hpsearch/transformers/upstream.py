"""What callers of ``Trainer.hyperparameter_search`` already pass, in this package's words."""

from __future__ import annotations

from enum import Enum
from typing import Any

from hpsearch.distributions import Categorical, Distribution, Float, Int
from hpsearch.errors import ArgumentError

DEFAULT_SPACE: dict[str, Distribution] = {
    "learning_rate": Float(1e-6, 1e-4, log=True),
    "num_train_epochs": Int(1, 5),
    "seed": Int(1, 40),
    "per_device_train_batch_size": Categorical([4, 8, 16, 32, 64]),
}
"""The space searched when none is given: that of ``transformers.default_hp_space_optuna``."""

_RENAMED = {
    "study_name": "name",
    "load_if_exists": "resume",
    "directions": "direction",
    "show_progress_bar": "progress",
}

_ANSWERED = {
    "callbacks": "observe the search with plugins=[...], objects with methods marked @hookimpl",
}


def backend_name(backend: Any) -> str | None:
    """Return the backend's name, also where transformers' enumeration of backends is given."""
    name: str | None = backend.value if isinstance(backend, Enum) else backend
    return name


def translated(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options under the names that :func:`hpsearch.search` has for them.

    ``gc_after_trial`` may be given and changes nothing: memory is always released.

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
        if name in options:
            raise ArgumentError(f"{name!r} is not taken here: {answer}")
    for old, new in _RENAMED.items():
        if old in options:
            if new in options:
                raise ArgumentError(f"{old!r} and {new!r} are the same option; give one of them")
            options[new] = options.pop(old)
    return options
