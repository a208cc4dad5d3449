"""One trial of a Trainer: what :func:`hpsearch.search` calls with each trial."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from torch import nn
from transformers import Trainer, TrainingArguments
from transformers.trainer_utils import number_of_arguments

from hpsearch.errors import ArgumentError, SearchAborted, TrialPruned, listed
from hpsearch.study.trial import Trial
from hpsearch.transformers import arguments
from hpsearch.transformers.baseline import enqueue_baseline
from hpsearch.transformers.build import (
    TrainerFactory,
    built,
    check_process,
    check_source,
    check_world,
    set_up,
)
from hpsearch.transformers.callbacks import listen
from hpsearch.transformers.declared import check_distribution, typed
from hpsearch.transformers.environment import environment
from hpsearch.transformers.metrics import ComputeObjective, Objective, ObjectiveFrom
from hpsearch.transformers.names import RunNames
from hpsearch.transformers.ranks.launch import processes
from hpsearch.transformers.recipe import Recipe
from hpsearch.transformers.repeats import Folds, Part, Repeats, check_repeats
from hpsearch.transformers.resume import check_saving, resume_from_checkpoint
from hpsearch.transformers.run import TrialRun
from hpsearch.transformers.snapshot import freeze_gc_for_good, restored
from hpsearch.transformers.tracked import SpaceFunction, TrackedTrial, names_to_set

if TYPE_CHECKING:
    from hpsearch.study.record import TrialRecord
    from hpsearch.study.study import Study

logger = logging.getLogger("hpsearch")


class TrainerObjective:
    """Trains a Trainer with a trial's parameters and returns its objective.

    Each trial starts from the Trainer as it was given: its arguments with the trial's values, the
    seed set before the model is built, a new model, optimiser and scheduler, its own folder. After
    the trial the Trainer is as before and the trial's memory is released.

    It travels to other processes, closures and all, by
    :func:`hpsearch.execution.pickling.dump_evaluation`; each builds the Trainer once, from its
    :class:`~hpsearch.transformers.recipe.Recipe`.

    Args:
        trainer: A Trainer with a ``model_init``. It takes each parameter that is named like a
            field of its arguments; ``model_init(trial)`` reads the others.
        trainer_factory: Instead of a Trainer: builds one for each trial. What it reads from the
            trial is its own affair; a field that it does not read is set on the Trainer it built.
        compute_objective: From the metrics of an evaluation to a number, or one for each
            direction; None for the evaluation loss or the sum of the other metrics.
        hp_name: From the trial to the name of its run and folder; None for ``run-<id>``.
        objective_from: Which evaluation of the trial counts: the ``"last"`` or the ``"best"``.
        checkpoint: Whether the evaluation that counts leaves a checkpoint in any case.
        baseline: Try the parameters that the Trainer came with as well.
        space_function: The define-by-run function that is searched, where there is one. What it
            suggests without returning it is then its own affair, and only what it returns is set.
        repeats: How often each trial trains, as :class:`Folds` or :class:`Seeds`; None for once.
        processes: How many processes train each trial together.

    Raises:
        ArgumentError: Both or neither of a Trainer and a factory are given, the Trainer cannot be
            searched, or another argument has a value that it cannot have.
    """

    def __init__(
        self,
        trainer: Trainer | None = None,
        *,
        trainer_factory: TrainerFactory | None = None,
        compute_objective: ComputeObjective | None = None,
        hp_name: Callable[[Any], str] | None = None,
        objective_from: ObjectiveFrom = "last",
        checkpoint: bool = False,
        baseline: bool = False,
        space_function: SpaceFunction | None = None,
        repeats: Repeats | None = None,
        processes: int = 1,
    ) -> None:
        check_repeats(repeats, checkpoint=checkpoint)
        check_source(trainer, trainer_factory, brings_data=isinstance(repeats, Folds))
        if trainer is not None:
            check_world(trainer, processes)
        if baseline and trainer is None:
            raise ArgumentError(
                "baseline=True tries the arguments that a Trainer came with, and trainer_factory "
                "builds one only from parameters; give these as enqueue=[{...}]"
            )
        self._recipe = None if trainer is None else Recipe(trainer)
        self._factory = trainer_factory
        self._objective = Objective(compute_objective, objective_from)
        self._run_names = RunNames(hp_name)
        self._checkpoint = checkpoint
        self._baseline = baseline
        self._space_function = space_function
        self._repeats = repeats
        self._processes = processes
        self._consumed: set[str] = set()
        self._reports_checkpoints = False
        self._has_travelled = False

    # Before the first trial.

    def prepare(self, study: Study) -> None:
        """Refuse what cannot work; called by :func:`hpsearch.search` before the first trial.

        Raises:
            ArgumentError: A name is misspelt, cannot be searched here, or would be read by nobody;
                or a parameter has values that its field cannot take.
        """
        self._consumed.clear()
        self._reports_checkpoints = study.capabilities.checkpoints
        trainer = None if self._recipe is None else self._recipe.trainer
        names = study.parameter_names or ()
        parameters = study.space.parameters if study.space is not None else {}
        for name in names:
            if trainer is None:
                check_process(name)
            else:
                self._check_name(trainer, name)
                if name in arguments.field_names(trainer.args) and name in parameters:
                    check_distribution(trainer.args, name, parameters[name])
        if self._repeats is not None:
            if self._reports_checkpoints:
                raise ArgumentError(
                    "this search continues trials from checkpoints, and a trial has none with "
                    f"repeats={self._repeats!r}; leave out one of the two"
                )
            self._repeats.check(trainer, names)
        if trainer is not None and self._reports_checkpoints:
            check_saving(trainer.args)
        has_metrics = None if trainer is None else trainer.compute_metrics is not None
        self._objective.announce(study.directions, has_metrics)
        self._run_names.take_over(study.trials)
        if self._baseline and trainer is not None and not study.trials:
            enqueue_baseline(trainer.args, study)

    def follow(self, directions: Sequence[str]) -> None:
        """Take part, in another process than the one that runs the search and calls ``prepare``."""
        self._objective.directions = tuple(directions)

    def _check_name(self, trainer: Trainer, name: str) -> None:
        args = trainer.args
        if name in arguments.field_names(args):
            arguments.check_live(type(trainer), args, name)
            return
        arguments.check_not_misspelt(type(trainer), args, name)
        # What a define-by-run function suggests may be for itself: a branch, an exponent.
        if self._space_function is None and _takes_nothing(trainer.model_init):
            raise arguments.unread(name, args, _NO_READER)

    # One trial.

    def __call__(self, trial: Trial) -> tuple[float, ...]:
        """Run one trial.

        Raises:
            SearchAborted: The parameters cannot take effect; the search ends.
            TrialPruned: The study wanted the trial stopped.
        """
        try:
            return self._run(trial)
        except ArgumentError as error:
            raise SearchAborted(error) from error

    def _run(self, trial: Trial) -> tuple[float, ...]:
        if self._repeats is None:
            return self._train(trial)
        return self._repeats.run(trial, self._train)

    def _train(self, trial: Trial, part: Part | None = None) -> tuple[float, ...]:
        """Train once: the whole trial, or one part of it."""
        view = TrackedTrial(trial)
        if self._has_travelled:
            self._processes = processes()
        shift = 0 if part is None else part.seed_shift
        trainer = self._source(view, shift)
        if self._has_travelled:
            self._has_travelled = False
            freeze_gc_for_good()
        with restored(trainer):
            run = TrialRun(
                trainer,
                trial,
                self._objective,
                keep=self._checkpoint,
                reports_checkpoints=self._reports_checkpoints,
                subfolder="" if part is None else part.name,
            )
            values = self._values_for_arguments(trainer, view)
            if part is not None:
                part.set_data(trainer)
            set_up(trainer, values, shift)
            if self._reports_checkpoints:
                check_saving(trainer.args)
            trial.channel.annotate("arguments", values)
            trial.channel.annotate("training_seed", trainer.args.seed)
            trial.channel.annotate("environment", environment(trainer.args))
            listen(trainer, run)
            self._begin_once_built(trainer, view, run)
            try:
                with resume_from_checkpoint(trainer, trial) as options:
                    trainer.train(**options)
                return run.end()
            except TrialPruned:
                # The training loop would have ended so, and reporting callbacks close their run.
                trainer.callback_handler.on_train_end(trainer.args, trainer.state, trainer.control)
                raise
            finally:
                run.note_checkpoints()

    def _source(self, view: TrackedTrial, seed_shift: int) -> Trainer:
        if self._factory is not None:
            trainer = built(self._factory, view, seed_shift)
        else:
            assert self._recipe is not None
            trainer = self._recipe.trainer
        check_world(trainer, self._processes)
        return trainer

    def _values_for_arguments(self, trainer: Trainer, view: TrackedTrial) -> dict[str, Any]:
        """Return what is set on the arguments: every field that the factory has not read."""
        values = {}
        for name in sorted(self._returned(view.trial) - view.read):
            if name in arguments.field_names(trainer.args):
                arguments.check_live(type(trainer), trainer.args, name)
                values[name] = typed(trainer.args, name, view.trial[name])
        return values

    def _returned(self, trial: Trial | TrialRecord) -> frozenset[str]:
        return names_to_set(self._space_function, trial)

    def _begin_once_built(self, trainer: Trainer, view: TrackedTrial, run: TrialRun) -> None:
        """Build the model from the trial, then check what was read and name the run.

        ``Trainer.train`` refuses trials that are not Optuna's own, so the trial reaches
        ``model_init`` through the Trainer's ``call_model_init``; its parameters are final after.
        """
        if trainer.model_init is None:
            self._check_read(trainer, view)
            run.begin(self._run_names)
            return
        build: Callable[[Any], nn.Module] = trainer.call_model_init
        known = frozenset(view.trial)

        def call_model_init(_trial: Any = None) -> nn.Module:
            model = build(view)
            _check_suggested(trainer.args, frozenset(view.trial) - known)
            self._check_read(trainer, view)
            run.begin(self._run_names)
            return model

        vars(trainer)["call_model_init"] = call_model_init

    def _check_read(self, trainer: Trainer, view: TrackedTrial) -> None:
        """Refuse a name that changes nothing, the first time that it is met."""
        names = frozenset(view.trial) - view.read - arguments.field_names(trainer.args)
        names -= _groups(view.trial)  # their members speak for them
        returned = self._returned(view.trial)
        for name in sorted(names - self._consumed):
            if name in returned:
                raise arguments.unread(name, trainer.args, self._nobody(trainer))
            logger.warning("%r is suggested by hp_space and not among what it returns", name)
        self._consumed |= frozenset(view.trial)

    def _nobody(self, trainer: Trainer) -> str:
        if self._factory is not None:
            return "trainer_factory did not read it from the trial"
        if _takes_nothing(trainer.model_init):
            return _NO_READER
        return "model_init(trial) did not read it from the trial"

    # Travelling to another process.

    def parts(self) -> dict[str, Any]:
        """Return what travels, by the names under which an error speaks of it."""
        parts = {} if self._recipe is None else self._recipe.parts()
        return {
            **parts,
            "trainer_factory": self._factory,
            "compute_objective": self._objective.compute,
            "hp_name": self._run_names.hp_name,
        }

    @contextmanager
    def travelling(self) -> Iterator[None]:
        """Pickle what refers to the Trainer so that it refers to the one built elsewhere."""
        if self._recipe is None:
            yield
            return
        with self._recipe.travelling():
            yield

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_has_travelled": True}


_NO_READER = "model_init takes no argument that it could be read from"


def _takes_nothing(function: Any) -> bool:
    count: int = number_of_arguments(function)  # type: ignore[no-untyped-call]
    return count == 0


def _groups(trial: Trial | TrialRecord) -> set[str]:
    return {
        name
        for name in trial.derived
        if any(member.startswith(f"{name}.") for member in trial.params)
    }


def _check_suggested(args: TrainingArguments, names: frozenset[str]) -> None:
    late = sorted(names & arguments.field_names(args))
    if late:
        raise ArgumentError(
            f"model_init suggests {listed(late)}, which TrainingArguments have and which were set "
            "before the model was built; suggest it in hp_space"
        )
