"""One trial's training: its name and folder, its evaluations, its checkpoints."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import Trainer
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from hpsearch.errors import TrialPruned
from hpsearch.transformers.metrics import Objective
from hpsearch.transformers.names import RunNames
from hpsearch.trial import Trial


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One evaluation: the step it was made at, its objective values and its metrics."""

    step: int
    values: tuple[float, ...]
    metrics: Mapping[str, Any]


class TrialRun:
    """Follows one training and reports it to the trial.

    Args:
        trainer: The Trainer that trains.
        trial: The trial.
        objective: What the metrics are turned into, and which evaluation counts.
        keep: Whether the evaluation that counts has to leave a checkpoint, also where the
            Trainer's arguments save none.
    """

    def __init__(self, trainer: Trainer, trial: Trial, objective: Objective, keep: bool) -> None:
        self.trainer = trainer
        self.trial = trial
        self.name = ""
        self.counting: Evaluation | None = None
        self._objective = objective
        self._keep = keep
        self._saved: list[int] = []
        self._asked_for: set[int] = set()

    def begin(self, names: RunNames) -> None:
        """Name the run and give it its folder, once all parameters are known."""
        self.name = names.of(self.trial, self._output_dir())
        self.trainer.args.output_dir = str(self._output_dir() / self.name)
        self.trial.annotate("run_name", self.name)
        self.trial.annotate("output_dir", str(self._output_dir().absolute()))

    def evaluated(self, metrics: Mapping[str, Any]) -> None:
        """Take an evaluation made during training and report it.

        Raises:
            TrialPruned: The study wants the trial stopped.
        """
        evaluation = self._evaluation(metrics)
        if self._counts(evaluation):
            self.counting = evaluation
            control = self.trainer.control
            if self._keep and not control.should_save:
                self._asked_for.add(evaluation.step)
                control.should_save = True
        # A training that begins anew (auto_find_batch_size) meets the same steps again.
        if evaluation.step not in self.trial.intermediate:
            self.trial.report(evaluation.values, evaluation.step)
            if self.trial.should_prune():
                raise TrialPruned

    def saved(self, step: int) -> None:
        """Take note of a checkpoint; drop the one asked for earlier, which counts no more."""
        self._saved.append(step)
        for earlier in self._asked_for - {step}:
            shutil.rmtree(self._folder(earlier), ignore_errors=True)
        self._asked_for &= {step}

    def end(self) -> tuple[float, ...]:
        """Return the trial's objective values; evaluate now if the training never did."""
        if self.counting is None:
            self.counting = self._evaluation(self.trainer.evaluate())
        step = self.counting.step
        trained_on = self.trainer.state.global_step > step
        if self._keep and not trained_on and not self._folder(step).exists():
            self.trainer.save_model(str(self._folder(step)))
            self._saved.append(step)
        self.trial.annotate("checkpoint", self._checkpoint())
        self.trial.annotate("metrics", _scalars(self.counting.metrics))
        return self.counting.values

    def note_checkpoints(self) -> None:
        """Record every checkpoint folder that the run left, however it ended."""
        left = [str(self._folder(step).absolute()) for step in self._left()]
        self.trial.annotate("checkpoints", left)

    def _evaluation(self, metrics: Mapping[str, Any]) -> Evaluation:
        values = self._objective.of(metrics, self.trainer.compute_metrics is not None)
        return Evaluation(self.trainer.state.global_step, values, metrics)

    def _counts(self, evaluation: Evaluation) -> bool:
        return (
            self.counting is None
            or self._objective.taken_from == "last"
            or self._objective.better(evaluation.values, self.counting.values)
        )

    def _checkpoint(self) -> str | None:
        """Return the checkpoint of the evaluation that counts, else the last one that is left.

        With ``load_best_model_at_end`` and a limit of one, that is the best one.
        """
        left = self._left()
        if not left:
            return None
        counts = self.counting is not None and self.counting.step in left
        step = self.counting.step if self.counting is not None and counts else left[-1]
        return str(self._folder(step).absolute())

    def _left(self) -> list[int]:
        return [step for step in dict.fromkeys(self._saved) if self._folder(step).exists()]

    def _output_dir(self) -> Path:
        return Path(self.trainer.args.output_dir or ".")

    def _folder(self, step: int) -> Path:
        return self._output_dir() / f"{PREFIX_CHECKPOINT_DIR}-{step}"


def _scalars(metrics: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in metrics.items()
        if value is None or isinstance(value, bool | int | float | str)
    }
