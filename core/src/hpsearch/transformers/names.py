"""The name of each trial's run, which is its folder's as well: one trial, one name."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath
from typing import Any
from uuid import uuid4

from hpsearch.errors import ArgumentError
from hpsearch.study.record import TrialRecord
from hpsearch.study.trial import Trial
from hpsearch.transformers.folders import claim, give_up, owner

logger = logging.getLogger("hpsearch")


class RunNames:
    """Names the runs of one search, so that no two trials share a folder.

    Args:
        hp_name: From the trial to its name; None for ``run-<id>``.

    Attributes:
        search: A text that no other search has, and that a resumed one keeps. The folders of its
            runs name it.
    """

    def __init__(self, hp_name: Callable[[Any], str] | None) -> None:
        self.hp_name = hp_name
        self.search = ""
        self._taken: dict[str, int] = {}
        self._said_others = False
        self._has_travelled = False

    def take_over(self, trials: Sequence[TrialRecord]) -> None:
        """Begin a search, with the names that its earlier trials have."""
        searches = [trial.attrs["search"] for trial in trials if "search" in trial.attrs]
        self._said_others = False
        self.search = searches[0] if searches else uuid4().hex
        self._taken = {
            trial.attrs["run_name"]: trial.number for trial in trials if "run_name" in trial.attrs
        }

    def of(self, trial: Trial, folder: Path) -> str:
        """Return the name of a trial's run, whose folder is now the trial's own.

        Args:
            trial: The trial, whose parameters are final.
            folder: Where the runs' folders are.

        Raises:
            ArgumentError: ``hp_name`` returned something that is not the name of a folder.
        """
        if self.hp_name is None:
            name = f"run-{trial.id}"
            names = [name]
        else:
            name = _checked(self.hp_name(trial))
            names = [name, f"{name}-{trial.id}"]
        further = (f"{names[-1]}-{count}" for count in itertools.count(2))
        taken = next(
            other
            for other in itertools.chain(names, further)
            if self._taken.setdefault(other, trial.number) == trial.number
            and claim(folder / other, self.search, trial.number)
        )
        if taken != name:
            self._say(trial, folder, name, taken)
        return taken

    def _say(self, trial: Trial, folder: Path, name: str, taken: str) -> None:
        """Say that a trial has another name; of a folder with other searches' runs, once."""
        found = owner(folder / name)
        if self._taken[name] != trial.number or (found is not None and found[0] == self.search):
            logger.warning(
                "trial %d is called %r, since another one has the name %r",
                trial.number,
                taken,
                name,
            )
        elif not self._said_others:
            self._said_others = True
            logger.warning(
                "%s has runs that are not this search's: trial %d is called %r, and so on",
                *(folder, trial.number, taken),
            )

    def leave(self, folder: Path) -> None:
        """Delete the folder of a run that left nothing in it.

        It stays where it is all that tells other processes that ``hp_name`` has given the name.
        """
        give_up(folder, keep_name=self._has_travelled and self.hp_name is not None)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_has_travelled": True}


def _checked(name: Any) -> str:
    path = PurePath(name) if isinstance(name, str) else None
    if not name or path is None or path.is_absolute() or ".." in path.parts:
        raise ArgumentError(f"hp_name returned {name!r}, expected the name of a folder")
    return str(name)
