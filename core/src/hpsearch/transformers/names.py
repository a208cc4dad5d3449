"""The name of each trial's run, which is its folder's as well: one trial, one name."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from pathlib import Path, PurePath
from typing import Any

from hpsearch.errors import ArgumentError
from hpsearch.study.record import TrialRecord
from hpsearch.study.trial import Trial

logger = logging.getLogger("hpsearch")


class RunNames:
    """Names the runs of one study, so that no two trials share a folder.

    Args:
        hp_name: From the trial to its name; None for ``run-<id>``.
    """

    def __init__(self, hp_name: Callable[[Any], str] | None) -> None:
        self.hp_name = hp_name
        self._taken: dict[str, int] = {}
        self._has_travelled = False

    def take_over(self, trials: Iterable[TrialRecord]) -> None:
        """Begin a study, with the names that its earlier trials have."""
        self._taken = {
            trial.attrs["run_name"]: trial.number for trial in trials if "run_name" in trial.attrs
        }

    def of(self, trial: Trial, folder: Path) -> str:
        """Return the name of a trial's run.

        Args:
            trial: The trial, whose parameters are final.
            folder: Where the runs' folders are.

        Raises:
            ArgumentError: ``hp_name`` returned something that is not the name of a folder.
        """
        if self.hp_name is None:
            return f"run-{trial.id}"
        name = _checked(self.hp_name(trial))
        longer = f"{name}-{trial.id}"
        if self._taken.setdefault(name, trial.number) == trial.number and (
            not self._has_travelled or _claimed(folder / name, folder / longer, trial)
        ):
            return name
        logger.warning(
            "trial %d is called %r, since another one has the name %r", trial.number, longer, name
        )
        return longer

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_has_travelled": True}


def _claimed(folder: Path, longer: Path, trial: Trial) -> bool:
    """Whether a trial has a folder to itself, where other processes name their trials as well."""
    if longer.exists():
        return False
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        return trial.resume_from is not None  # it is this trial's own, from before
    return True


def _checked(name: Any) -> str:
    path = PurePath(name) if isinstance(name, str) else None
    if not name or path is None or path.is_absolute() or ".." in path.parts:
        raise ArgumentError(f"hp_name returned {name!r}, expected the name of a folder")
    return str(name)
