"""One trial's training: its name and folder, its evaluations, its checkpoints."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from transformers import Trainer, TrainingArguments
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, SaveStrategy

from hpsearch.errors import TrialPruned
from hpsearch.study.trial import Trial
from hpsearch.transformers import compat
from hpsearch.transformers.metrics import Objective, scalars
from hpsearch.transformers.names import RunNames
from hpsearch.transformers.resume import is_own, read_record, write_record
from hpsearch.transformers.weights import fingerprint, trained_beside


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
        return {"step": self.step, "values": self.values, "metrics": scalars(self.metrics)}


class TrialRun:
    """Follows one training and reports it to the trial.

    The checkpoint of the evaluation that counts is the run's result, so the run takes the Trainer's
    ``save_total_limit`` upon itself: the Trainer knows only the evaluation that is best by its own
    metric.

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
        self._search = ""
        self._named_here = False
        self._limit: int | None = None
        self._trainings = 0
        self._latest: Evaluation | None = None
        self._unreported: Evaluation | None = None
        self._judged: tuple[int, dict[str, int]] | None = None
        self._saved: list[int] = []
        self._asked_for: set[int] = set()
        self._from_before: set[int] = set()

    def begin(self, names: RunNames) -> None:
        """Name the run and give it its folder, once all parameters are known."""
        if self.name:  # a Trainer that trains twice builds its model twice
            return

        def decide() -> str:
            self._named_here = True
            return names.of(self.trial, self._output_dir())

        args, channel = self.trainer.args, self.trial.channel
        name = channel.agree("run_name", decide)
        folder = self._output_dir() / name
        self.name = str(PurePath(name, self._subfolder))
        self._search = names.search
        args.output_dir = str(folder / self._subfolder)
        self._limit, args.save_total_limit = args.save_total_limit, None
        channel.annotate("run_name", name)
        channel.annotate("search", names.search)
        channel.annotate("output_dir", str(folder.absolute()))
        if self.trial.resume_from is None:
            self._start_over()
        else:
            self._go_on(Path(self.trial.resume_from))

    def training_begins(self) -> None:
        """Forget what counted where the training begins again, as for a smaller batch size."""
        if self._trainings:
            self.counting = self._latest = self._unreported = self._judged = None
            self._from_before.update(self._saved)
        self._trainings += 1

    def evaluation_begins(self) -> None:
        """Look at the weights that are judged: a callback may put others back before the save."""
        saves = self._keep or self.trainer.args.save_strategy != SaveStrategy.NO
        if saves and self._writes:
            self._judged = self.trainer.state.global_step, fingerprint(self.trainer)

    def evaluated(self, metrics: Mapping[str, Any], *, planned: bool) -> None:
        """Take an evaluation made during training and report it, with its checkpoint if need be.

        Args:
            metrics: What it gave.
            planned: Whether the training loop made it, which looks next at what is to be saved.

        Raises:
            TrialPruned: The study wants the trial stopped.
        """
        self._report_waiting(None)
        evaluation = self._latest = self._evaluation(metrics, self.trainer.state.global_step)
        counts = self._counts(evaluation)
        if counts:
            self.counting = evaluation
        control = self.trainer.control
        if self._reports_checkpoints or (self._keep and counts):
            if not control.should_save:
                self._asked_for.add(evaluation.step)
                control.should_save = True
            # With save_strategy="best" the loop decides by its own metric.
            if counts and not (planned and self._saves_as_asked):
                self._save(evaluation.step)
        if self._reports_checkpoints:
            self._unreported = evaluation
        else:
            self._report(evaluation, None)

    def saved(self, step: int) -> None:
        """Take note of a checkpoint, and report the evaluation that waited for it.

        Raises:
            TrialPruned: The study wants the trial stopped.
        """
        if not self._saves_as_asked:
            self._asked_for.discard(step)  # the Trainer wanted it as well
        self._note(step)
        self._drop_all_but(step)
        self._rotate({step, self._best_of_the_trainer(), self._step_that_counts()})
        self.note_checkpoints()
        if self._reports_checkpoints:
            self._report_waiting(str(self._folder(step).absolute()))

    def end(self) -> tuple[float, ...]:
        """Return the trial's objective values; evaluate now if the training never did."""
        self._report_waiting(None)
        best = self._best_of_the_trainer()
        loaded_back = self.trainer.args.load_best_model_at_end
        now = best if loaded_back and best is not None else self.trainer.state.global_step
        if self.counting is None:
            self.counting = self._latest = self._evaluation(self.trainer.evaluate(), now)
        step = self.counting.step
        if self._keep and step == now and not self._wrote(step):
            self._save(step)
        self._drop_all_but(step)
        self._rotate({step} if self._wrote(step) else {best, *self._saved[-1:]})
        channel = self.trial.channel
        if self._has(step):
            self._mark(step, values=self.counting.values)
            channel.annotate("checkpoint", str(self._folder(step).absolute()))
        else:
            channel.annotate("checkpoint", None)
        of = {"of": self.trainer.state.max_steps, "training": self._trainings}
        channel.annotate("judged_at", {"step": step, **of})
        channel.annotate("metrics", scalars(self.counting.metrics))
        self._objective.check_bounded(self.counting.metrics)
        return self.counting.values

    def leave(self, names: RunNames) -> None:
        """Record what the run left, and give up its folder if that is nothing."""
        self.note_checkpoints()
        if self._named_here and not self._subfolder:
            names.leave(self._output_dir())

    def note_checkpoints(self) -> None:
        """Record every checkpoint folder that the run left, however it ended."""
        left = [str(self._folder(step).absolute()) for step in self._left()]
        self.trial.channel.annotate("checkpoints", left)

    def _start_over(self) -> None:
        """Delete what this trial left in its folder before its process died."""
        for folder in self._checkpoint_folders().values():
            if self._writes:
                shutil.rmtree(folder, ignore_errors=True)

    def _go_on(self, checkpoint: Path) -> None:
        """Take over what this trial left in its folder before it was stopped."""
        record = read_record(checkpoint)
        if is_own(record, self.trial):
            if record["counting"] is not None:
                self.counting = Evaluation.from_dict(record["counting"])
        else:
            self.trial.channel.annotate("continued", str(checkpoint))
        for step, folder in self._checkpoint_folders().items():
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
                self.trial.channel.annotate("metrics", scalars(evaluation.metrics))
                raise TrialPruned

    # Which evaluation counts.

    def _evaluation(self, metrics: Mapping[str, Any], step: int) -> Evaluation:
        return Evaluation(step, self._objective.of(metrics, self.trainer), metrics)

    def _counts(self, evaluation: Evaluation) -> bool:
        args, before = self.trainer.args, self.counting
        if before is None or not self._objective.takes_best(args.load_best_model_at_end):
            return True
        if len(evaluation.values) == 1:
            return self._objective.better(evaluation.values, before.values)
        # Of several objectives there is no best; of the Trainer's metric there is.
        new, old = _metric_for_best(args, evaluation), _metric_for_best(args, before)
        return new > old or (math.isnan(old) and not math.isnan(new))

    def _step_that_counts(self) -> int | None:
        return None if self.counting is None else self.counting.step

    def _best_of_the_trainer(self) -> int | None:
        """Return the step of the checkpoint that is best by the Trainer's own metric, if any is."""
        best = self.trainer.state.best_model_checkpoint
        return None if best is None else _step_of(best)

    # Checkpoints.

    @property
    def _saves_as_asked(self) -> bool:
        return self.trainer.args.save_strategy != SaveStrategy.BEST

    def _save(self, step: int) -> None:
        """Save the model that is now judged; its optimiser is not needed to load it."""
        compat.save_model(self.trainer, str(self._folder(step)))
        self._note(step)

    def _note(self, step: int) -> None:
        """Take note of a checkpoint that has the model's weights as they are now."""
        if step in self._saved:
            self._saved.remove(step)
        self._saved.append(step)
        self._from_before.discard(step)
        latest = self._latest
        self._mark(
            step,
            values=latest.values if latest is not None and latest.step == step else None,
            counting=None if self.counting is None else self.counting.to_dict(),
            asked_for=step in self._asked_for,
            **({"weights": self._weights(step)} if self._writes else {}),
            beside=trained_beside(self.trainer),
        )

    def _weights(self, step: int) -> dict[str, int]:
        """Return the fingerprint of the weights that were judged at a step, else of those saved."""
        if self._judged is not None and self._judged[0] == step:
            return self._judged[1]
        return fingerprint(self.trainer)

    def _mark(self, step: int, **facts: Any) -> None:
        """Write into a checkpoint whose it is and what is known of it."""
        folder = self._folder(step)
        if self._writes and folder.is_dir():
            facts = {"search": self._search, "step": step, **facts}
            write_record(folder, self.trial, optim=str(self.trainer.args.optim), **facts)

    def _drop_all_but(self, step: int | None) -> None:
        """Delete the checkpoints that only this run asked for and that nobody needs any more."""
        needed = {step, self._step_that_counts()}
        for other in self._asked_for - needed:
            self._delete(other)
        self._asked_for &= needed

    def _rotate(self, needed: set[int | None]) -> None:
        """Delete the oldest checkpoints beyond ``save_total_limit``, but none that is needed."""
        left = self._left()
        surplus = len(left) - (self._limit or len(left))
        for step in [step for step in left if step not in needed][: max(surplus, 0)]:
            self._delete(step)

    def _delete(self, step: int) -> None:
        if self._writes:
            shutil.rmtree(self._folder(step), ignore_errors=True)
        if step in self._saved:
            self._saved.remove(step)

    @property
    def _writes(self) -> bool:
        """Whether this is, of several processes, the one that writes."""
        writes: bool = self.trainer.args.should_save
        return writes

    def _wrote(self, step: int) -> bool:
        return step in self._saved and step not in self._from_before

    def _has(self, step: int) -> bool:
        return self._wrote(step) and self._folder(step).is_dir()

    def _left(self) -> list[int]:
        return [step for step in self._saved if self._folder(step).is_dir()]

    def _checkpoint_folders(self) -> dict[int, Path]:
        """Return the folders of checkpoints that are there, by step, in order."""
        folders = self._output_dir().glob(f"{PREFIX_CHECKPOINT_DIR}-*")
        numbered = (folder for folder in folders if folder.name.rpartition("-")[2].isdecimal())
        return dict(sorted((_step_of(folder), folder) for folder in numbered))

    def _output_dir(self) -> Path:
        return Path(self.trainer.args.output_dir or ".")

    def _folder(self, step: int) -> Path:
        return self._output_dir() / f"{PREFIX_CHECKPOINT_DIR}-{step}"


def _step_of(checkpoint: str | Path) -> int:
    return int(Path(checkpoint).name.rpartition("-")[2])


def _metric_for_best(args: TrainingArguments, evaluation: Evaluation) -> float:
    """Return the Trainer's own metric, turned so that higher is better; NaN if it is not there."""
    name = f"eval_{(args.metric_for_best_model or 'loss').removeprefix('eval_')}"
    value: float = evaluation.metrics.get(name, math.nan)
    return value if args.greater_is_better else -value
