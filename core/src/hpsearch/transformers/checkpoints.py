"""What a search leaves on disk: the checkpoints of its best trials."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from hpsearch.plugins.hookspecs import hookimpl
from hpsearch.study.best import best_of, ranked
from hpsearch.study.outcome import TrialState
from hpsearch.transformers.folders import give_up, owner
from hpsearch.validators import whole

if TYPE_CHECKING:
    from hpsearch.study.record import TrialRecord
    from hpsearch.study.study import Study


_CHECKPOINT = re.compile(rf"{PREFIX_CHECKPOINT_DIR}-\d+")


class CheckpointKeeper:
    """An observer that keeps the checkpoints of the best trials and deletes the others'.

    Only a folder ``checkpoint-<step>`` directly in the folder of a trial's run is deleted, and only
    where that folder itself names the trial and its search as its owner. Where a journal names
    other places, they are left alone: anybody may have edited it.

    Args:
        count: How many trials keep theirs, at least 0. With several directions the whole Pareto
            front does, since each of its trials is an answer.

    Raises:
        ArgumentError: ``count`` is not such a number.
    """

    def __init__(self, count: int) -> None:
        self._count = whole("keep_checkpoints", count)

    @hookimpl
    def hpsearch_tell(self, study: Study, trial: TrialRecord) -> None:
        """Delete what is not among the best any more."""
        kept = {best.number for best in self._best(study)}
        for other in study.trials:
            ended = other.state is not TrialState.RUNNING
            if ended and other.number not in kept and _deleted(other):
                study.history.amend(other, {"checkpoints": [], "checkpoint": None})
        run = _own_folder(trial)
        if run is not None:  # one that was stopped from outside could not give it up itself
            give_up(run)

    def _best(self, study: Study) -> Sequence[TrialRecord]:
        if len(study.directions) > 1:
            return best_of(study.trials, study.directions) if self._count else []
        return ranked(study.trials, study.directions)[: self._count]


def _deleted(trial: TrialRecord) -> bool:
    """Delete a trial's checkpoints, and its run's folder if it is empty; say if it had any."""
    saved = trial.attrs.get("checkpoints")
    if not (isinstance(saved, list) and saved):
        return False
    run = _own_folder(trial)
    if run is None:
        return False
    for checkpoint in map(Path, map(str, saved)):
        if checkpoint.parent == run and _CHECKPOINT.fullmatch(checkpoint.name):
            shutil.rmtree(checkpoint, ignore_errors=True)
    give_up(run)
    return True


def _own_folder(trial: TrialRecord) -> Path | None:
    """Return the folder of a trial's run, if that folder names the trial as its owner."""
    folder = trial.attrs.get("output_dir")
    if not isinstance(folder, str):
        return None
    run = Path(folder)
    return run if owner(run) == (trial.attrs.get("search"), trial.number) else None
