"""What a trial hears of its training: where it begins, each evaluation, each checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from hpsearch.transformers import compat

if TYPE_CHECKING:
    from hpsearch.transformers.run import TrialRun


class TrialCallback(TrainerCallback):
    """Comes before all other callbacks, so that these know which trial they report.

    TensorBoard, W&B and the others open one run for each trial when ``is_hyper_param_search`` is
    set, under ``trial_name``.
    """

    def __init__(self, run: TrialRun) -> None:
        self._run = run

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Say which trial this training is."""
        self._run.training_begins()
        state.is_hyper_param_search = True
        state.trial_name = self._run.name
        state.trial_params = dict(self._run.trial)

    def on_save(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Note the checkpoint that was written."""
        self._run.saved(state.global_step)


def report_nothing(trainer: Trainer) -> None:
    """Take away the callbacks that report to W&B, TensorBoard and their kind."""
    kinds = compat.reporting_callbacks(trainer.args)
    callbacks = trainer.callback_handler.callbacks
    callbacks[:] = [callback for callback in callbacks if not isinstance(callback, kinds)]


def listen(trainer: Trainer, run: TrialRun) -> None:
    """Have the run hear of each training's begin, its checkpoints and its evaluations.

    ``evaluate`` is listened to and not the event ``on_evaluate``: with several evaluation sets
    there is one event for each, and the objective needs all their metrics. An evaluation that
    names its own data or prefix is somebody else's and is ignored, and so is one outside of
    training.
    """
    trainer.callback_handler.callbacks.insert(0, TrialCallback(run))
    evaluate = trainer.evaluate

    def evaluate_and_report(*args: Any, **kwargs: Any) -> dict[str, float]:
        planned = trainer.control.should_evaluate
        is_ours = trainer.is_in_train and not args and kwargs.keys() <= {"ignore_keys"}
        if is_ours:
            run.evaluation_begins()
        metrics = evaluate(*args, **kwargs)
        if is_ours:
            run.evaluated(metrics, planned=planned)
        return metrics

    vars(trainer)["evaluate"] = evaluate_and_report
