"""One trial's training: its name and folder, its evaluations, its checkpoints."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from transformers import Trainer
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from hpsearch.errors import TrialPruned
from hpsearch.study.trial import Trial
from hpsearch.transformers.metrics import Objective
from hpsearch.transformers.names import RunNames
from hpsearch.transformers.resume import is_own, read_record, write_record


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One evaluation: the step it was made at, its objective values and its metrics."""

    step: int
    values: tuple[float, ...]
    metrics: Mapping[str, Any]

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Evaluation:
        """Read the JSON form back."""
        return cls(data["step"], tuple(data["values"]), data["metrics"])

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form, with those metrics that have one."""
        return {"step": self.step, "values": self.values, "metrics": _scalars(self.metrics)}


class TrialRun:
    """Follows one training and reports it to the trial.

    Args:
        trainer: The Trainer that trains.
        trial: The trial.
        objective: What the metrics are turned into, and which evaluation counts.
        keep: Whether the evaluation that counts has to leave a checkpoint, also where the
            Trainer's arguments save none.
        reports_checkpoints: Whether each evaluation is reported with a checkpoint from which a
            trial can continue. Whoever gets it makes a copy before the next one: a run keeps the
            last and the one that counts.
        subfolder: The folder of this training in that of the run, where a run trains several times.
    """

    def __init__(
        self,
        trainer: Trainer,
        trial: Trial,
        objective: Objective,
        *,
        keep: bool,
        reports_checkpoints: bool,
        subfolder: str = "",
    ) -> None:
        self.trainer = trainer
        self.trial = trial
        self.name = ""
        self._subfolder = subfolder
        self.counting: Evaluation | None = None
        self._objective = objective
        self._keep = keep or reports_checkpoints
        self._reports_checkpoints = reports_checkpoints
        self._unreported: Evaluation | None = None
        self._saved: list[int] = []
        self._asked_for: set[int] = set()
        self._from_before: set[int] = set()

    def begin(self, names: RunNames) -> None:
        """Name the run and give it its folder, once all parameters are known."""
        name = self.trial.channel.agree(
            "run_name", lambda: names.of(self.trial, self._output_dir())
        )
        folder = self._output_dir() / name
        self.trial.channel.annotate("run_name", name)
        self.trial.channel.annotate("output_dir", str(folder.absolute()))
        self.name = str(PurePath(name, self._subfolder))
        self.trainer.args.output_dir = str(folder / self._subfolder)
        if self.trial.resume_from is not None:
            self._go_on(Path(self.trial.resume_from))

    def evaluated(self, metrics: Mapping[str, Any]) -> None:
        """Take an evaluation made during training and report it, with its checkpoint if need be.

        Raises:
            TrialPruned: The study wants the trial stopped.
        """
        self._report_waiting(None)
        evaluation = self._evaluation(metrics)
        if self._counts(evaluation):
            self.counting = evaluation
        if self._reports_checkpoints or (self._keep and self.counting is evaluation):
            control = self.trainer.control
            if not control.should_save:
                self._asked_for.add(evaluation.step)
                control.should_save = True
        if self._reports_checkpoints:
            self._unreported = evaluation
        else:
            self._report(evaluation, None)

    def saved(self, step: int) -> None:
        """Take note of a checkpoint, and report the evaluation that waited for it.

        Raises:
            TrialPruned: The study wants the trial stopped.
        """
        self._saved.append(step)
        self._from_before.discard(step)
        self._drop_all_but(step)
        self.note_checkpoints()
        if self._reports_checkpoints:
            folder = self._folder(step).absolute()
            counting = None if self.counting is None else self.counting.to_dict()
            asked_for = step in self._asked_for
            write_record(folder, self.trial, self.trainer, counting=counting, asked_for=asked_for)
            self._report_waiting(str(folder))

    def end(self) -> tuple[float, ...]:
        """Return the trial's objective values; evaluate now if the training never did."""
        self._report_waiting(None)
        if self.counting is None:
            self.counting = self._evaluation(self.trainer.evaluate())
        step = self.counting.step
        trained_on = self.trainer.state.global_step > step
        there = self._folder(step).exists() and step not in self._from_before
        if self._keep and not trained_on and not there:
            self.trainer.save_model(str(self._folder(step)))
            self._saved.append(step)
        self._drop_all_but(step)
        self.trial.channel.annotate("checkpoint", self._checkpoint())
        self.trial.channel.annotate("metrics", _scalars(self.counting.metrics))
        return self.counting.values

    def note_checkpoints(self) -> None:
        """Record every checkpoint folder that the run left, however it ended."""
        left = [str(self._folder(step).absolute()) for step in self._left()]
        self.trial.channel.annotate("checkpoints", left)

    def _go_on(self, checkpoint: Path) -> None:
        """Take over what this trial left in its folder before it was stopped."""
        record = read_record(checkpoint)
        if is_own(record, self.trial) and record["counting"] is not None:
            self.counting = Evaluation.from_dict(record["counting"])
        for folder in self._output_dir().glob(f"{PREFIX_CHECKPOINT_DIR}-*"):
            step = int(folder.name.rpartition("-")[2])
            self._saved.append(step)
            if self.counting is None:
                self._from_before.add(step)
            if read_record(folder).get("asked_for") and not folder.samefile(checkpoint):
                self._asked_for.add(step)
        self._drop_all_but(None)

    def _report_waiting(self, checkpoint: str | None) -> None:
        evaluation, self._unreported = self._unreported, None
        if evaluation is not None:
            self._report(evaluation, checkpoint)

    def _report(self, evaluation: Evaluation, checkpoint: str | None) -> None:
        # A training that begins again (auto_find_batch_size) meets the same steps again.
        if evaluation.step not in self.trial.intermediate:
            self.trial.report(evaluation.values, evaluation.step, checkpoint)
            if self.trial.should_prune():
                raise TrialPruned

    def _drop_all_but(self, step: int | None) -> None:
        """Delete the checkpoints that only this run asked for and that nobody needs any more."""
        needed = {step, None if self.counting is None else self.counting.step}
        for other in self._asked_for - needed:
            if self.trainer.args.should_save:  # of several processes, the one that writes
                shutil.rmtree(self._folder(other), ignore_errors=True)
        self._asked_for &= needed

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
