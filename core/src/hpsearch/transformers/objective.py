"""One trial of a Trainer: what :func:`hpsearch.search` calls with each trial."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn
from transformers import Trainer

from hpsearch.errors import ArgumentError, ReplayError, SearchAborted, TrialPruned, listed
from hpsearch.study.serial import payload_of
from hpsearch.study.trial import Trial
from hpsearch.transformers import arguments, inert
from hpsearch.transformers.baseline import enqueue_baseline
from hpsearch.transformers.build import (
    TrainerFactory,
    built,
    check_process,
    check_source,
    check_world,
    set_up,
    takes_nothing,
)
from hpsearch.transformers.callbacks import listen, report_nothing
from hpsearch.transformers.declared import check_distribution, typed
from hpsearch.transformers.environment import environment
from hpsearch.transformers.metrics import (
    ComputeObjective,
    Limit,
    Objective,
    ObjectiveFrom,
    as_thresholds,
)
from hpsearch.transformers.names import RunNames
from hpsearch.transformers.preview import FEW, gets_more_metrics, preview
from hpsearch.transformers.quiet import hide_training, quiet_loading
from hpsearch.transformers.ranks.launch import processes
from hpsearch.transformers.recipe import Recipe, arguments_travel
from hpsearch.transformers.repeats import Folds, Part, Repeats, check_continued, check_repeats
from hpsearch.transformers.replay import Replay, delete_folder
from hpsearch.transformers.resume import check_saving, resume_from_checkpoint
from hpsearch.transformers.run import TrialRun
from hpsearch.transformers.snapshot import Memory, as_given, freeze_gc_for_good, restored
from hpsearch.transformers.tracked import SpaceFunction, TrackedTrial, names_to_set
from hpsearch.validators import flag

if TYPE_CHECKING:
    from hpsearch.space.distributions import Distribution
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
        compute_objective: The name of a metric, or a list with one for each direction; or a
            function from the metrics of an evaluation to a number, or to one for each direction.
            None: the metric that the space names; else the Trainer's ``metric_for_best_model``
            where that is set; else the evaluation loss or the sum of the other metrics.
        hp_name: From the trial to the name of its run and folder; None for ``run-<id>``.
        objective_from: Which evaluation of the trial counts: the ``"last"`` or the ``"best"``. None
            takes the best where the Trainer has ``load_best_model_at_end``, else the last.
        constraints: Limits of metrics, by name: ``{"eval_runtime": at_most(10.0)}``.
        checkpoint: Whether the evaluation that counts leaves a checkpoint in any case.
        baseline: Try the parameters that the Trainer came with as well.
        check_replay: Train the first trial twice, and end the search where the results differ.
        space_function: The define-by-run function that is searched, where there is one. What it
            suggests without returning it is then its own affair, and only what it returns is set.
        repeats: How often each trial trains, as :class:`Folds` or :class:`Seeds`; None for once.
        show_training: Show transformers' own progress bars, printed logs and reports of loaded
            weights.
        direction_said: Whether the user said in which direction, by whatever means.
        processes: How many processes train each trial together.

    Attributes:
        thresholds: The constraints, in the core's terms; :func:`hpsearch.search` asks for them.

    Raises:
        ArgumentError: Both or neither of a Trainer and a factory are given, the Trainer cannot be
            searched, or another argument has a value that it cannot have.
    """

    def __init__(
        self,
        trainer: Trainer | None = None,
        *,
        trainer_factory: TrainerFactory | None = None,
        compute_objective: ComputeObjective | str | Sequence[str] | None = None,
        hp_name: Callable[[Any], str] | None = None,
        objective_from: ObjectiveFrom | None = None,
        constraints: Mapping[str, Limit] | None = None,
        checkpoint: bool = False,
        baseline: bool = False,
        check_replay: bool = False,
        space_function: SpaceFunction | None = None,
        repeats: Repeats | None = None,
        show_training: bool = False,
        direction_said: bool = True,
        processes: int = 1,
    ) -> None:
        check_repeats(repeats, checkpoint=checkpoint)
        check_source(trainer, trainer_factory, brings_data=isinstance(repeats, Folds))
        if trainer is not None:
            check_world(trainer, processes)
        if flag("baseline", baseline) and trainer is None:
            raise ArgumentError(
                "baseline=True tries the arguments that a Trainer came with, and trainer_factory "
                "builds one only from parameters; give these as enqueue=[{...}]"
            )
        self._recipe = None if trainer is None else Recipe(trainer)
        self._factory = trainer_factory
        self.thresholds = as_thresholds(constraints)
        self._objective = Objective(
            compute_objective, objective_from, self.thresholds, direction_said=direction_said
        )
        self._run_names = RunNames(hp_name)
        self._checkpoint = checkpoint
        self._baseline = baseline
        self._check_replay = flag("check_replay", check_replay)
        self._replay_is_due = check_replay
        self._replays: int | None = None
        self._space_function = space_function
        self._repeats = repeats
        self._processes = processes
        self._memory = Memory()
        self._consumed: set[str] = set()
        self._warned_of: set[str] = set()
        self._reports_checkpoints = False
        self._show_training = flag("show_training", show_training)
        self._has_looked_ahead = False
        self._has_run = False
        self._has_travelled = False

    # Before the first trial.

    def prepare(self, study: Study) -> None:
        """Refuse what cannot work; called by :func:`hpsearch.search` before the first trial.

        Raises:
            ArgumentError: A name is misspelt, cannot be searched here, or would be read by nobody;
                or a parameter has values that its field cannot take.
        """
        self._memory = Memory()
        self._consumed.clear()
        self._warned_of.clear()
        self._has_looked_ahead = False
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
        if trainer is not None:
            self._check_effects(trainer, names, parameters)
        if self._repeats is not None:
            if self._reports_checkpoints:
                raise ArgumentError(
                    "this search continues trials from checkpoints, and a trial has none with "
                    f"repeats={self._repeats!r}; leave out one of the two"
                )
            self._repeats.check(trainer, names)
        if trainer is not None and self._reports_checkpoints:
            check_saving(trainer.args)
        self._objective.take_part(study.directions, study.metrics)
        self._objective.check_thresholds(study.thresholds)
        self._objective.check_continued(study.trials, trainer)
        check_continued(study.trials, self._repeats)
        metrics = None if trainer is None else self._look_ahead(trainer)
        self._objective.announce(trainer, metrics)
        self._run_names.take_over(study.trials)
        if self._baseline and trainer is not None and not study.trials:
            enqueue_baseline(trainer.args, study)
        was_replayed = any("replayed" in trial.attrs for trial in study.trials)
        self._replay_is_due = self._check_replay and not was_replayed
        if self._replay_is_due:
            self._replays = min(study.history.waiting, default=study.history.next_number)

    def follow(self, directions: Sequence[str], metrics: Sequence[str] | None) -> None:
        """Take part, in another process than the one that runs the search and calls ``prepare``."""
        self._objective.take_part(directions, metrics)

    def _check_name(self, trainer: Trainer, name: str) -> None:
        args = trainer.args
        if name in arguments.field_names(args):
            arguments.check_live(type(trainer), args, name)
            return
        arguments.check_not_misspelt(type(trainer), args, name)
        # What a define-by-run function suggests may be for itself: a branch, an exponent.
        if self._space_function is None and takes_nothing(trainer.model_init):
            raise arguments.unread(name, args, _NO_READER)

    def _check_effects(
        self, trainer: Trainer, names: Sequence[str], parameters: Mapping[str, Distribution]
    ) -> None:
        """Refuse a field that no training reads with the Trainer's other arguments."""
        function = self._space_function
        returned = None if function is None else function.last_returned
        choices = {
            name: _some_values(parameters.get(name))
            for name in (names if returned is None else returned)
        }
        for name in names:
            if name in choices:
                why = inert.reason(trainer, name, choices)
                if why is not None:
                    raise _without_effect(name, why)

    def _look_ahead(self, trainer: Trainer) -> dict[str, Any] | None:
        """Refuse a metric that no evaluation has, before a training is spent on it.

        A few batches may not show every metric, so all of them are asked before it is refused.

        Returns:
            The metrics that there are, None where they are not known.
        """
        self._has_looked_ahead = True
        if self._processes > 1 or not self._objective.wants_preview(trainer):
            return None
        metrics = preview(trainer, FEW)
        if metrics is None:
            return None
        try:
            self._objective.check(metrics, trainer)
        except ArgumentError:
            if gets_more_metrics(trainer):
                return None
            metrics = preview(trainer, None)
            if metrics is not None:
                self._objective.check(metrics, trainer)
        return metrics

    # One trial.

    def __call__(self, trial: Trial) -> tuple[float, ...]:
        """Run one trial.

        Raises:
            SearchAborted: The parameters cannot take effect; the search ends.
            TrialPruned: The study wanted the trial stopped.
        """
        # A Trainer has shown its model's report when it was built, a factory's first one has not.
        reports = self._show_training or (self._factory is not None and not self._has_run)
        self._has_run = True
        try:
            with quiet_loading(bars=self._show_training, reports=reports):
                return self._run(trial)
        except (ArgumentError, ReplayError) as error:
            raise SearchAborted(error) from error

    def _run(self, trial: Trial) -> tuple[float, ...]:
        # Of several processes that train together, the one that leads knows which trial it is.
        is_replayed = (
            self._replay_is_due
            and trial.resume_from is None
            and trial.channel.agree("replay", lambda: self._replays in (trial.number, None))
        )
        return self._run_twice(trial) if is_replayed else self._run_once(trial)

    def _run_twice(self, trial: Trial) -> tuple[float, ...]:
        """Run a trial, and compare it with a second training; where it fails, the next one."""
        start, self._replays = payload_of(trial.record), None
        objectives = None
        try:
            objectives = self._run_once(trial)
        except TrialPruned:
            if not trial.intermediate:
                raise
        replay = Replay(trial, objectives, start, self._memory.changed)
        with replay.trial() as second:
            if self._space_function is not None:
                self._space_function.repeat(trial, second)
            try:
                replay.check_end(self._run_once(second, is_replay=True))
            except TrialPruned:
                replay.check_end(None)
        self._replay_is_due = False
        trial.channel.annotate("replayed", value=True)
        logger.info("trial %d was trained twice, with the same result", trial.number)
        if objectives is None:
            raise TrialPruned
        return objectives

    def _run_once(self, trial: Trial, *, is_replay: bool = False) -> tuple[float, ...]:
        if self._has_travelled:
            self._processes = processes()
        train = partial(self._train, is_replay=is_replay)
        if self._repeats is None:
            return train(trial)
        try:
            return self._repeats.run(trial, train)
        finally:
            if "output_dir" in trial.attrs:
                self._run_names.leave(Path(trial.attrs["output_dir"]))

    def _train(
        self, trial: Trial, part: Part | None = None, *, is_replay: bool = False
    ) -> tuple[float, ...]:
        """Train once: the whole trial, or one part of it."""
        parts = {} if self._factory is None else {"trainer_factory": self._factory}
        memory = self._memory
        with memory.trial(trial.number, is_replay=is_replay), memory.kept(parts):
            return self._train_as_given(trial, part, is_replay=is_replay)

    def _train_as_given(
        self, trial: Trial, part: Part | None, *, is_replay: bool
    ) -> tuple[float, ...]:
        view = TrackedTrial(trial)
        shift = 0 if part is None else part.seed_shift
        trainer = self._source(view, shift)
        if self._has_travelled:
            self._has_travelled = False
            freeze_gc_for_good()
        if not self._has_looked_ahead:
            self._look_ahead(trainer)
        with restored(trainer, self._memory):
            run = TrialRun(
                trainer,
                trial,
                self._objective,
                keep=self._checkpoint,
                reports_checkpoints=self._reports_checkpoints,
                subfolder="" if part is None else part.name,
            )
            values = self._values_for_arguments(trainer, view)
            if self._factory is not None:
                self._check_built(trainer, view)
            if part is not None:
                part.set_data(trainer)
            set_up(trainer, values, shift)
            self._objective.announce_choice(trainer.args)
            if self._reports_checkpoints:
                check_saving(trainer.args)
            trial.channel.annotate("arguments", values)
            trial.channel.annotate("training_seed", trainer.args.seed)
            trial.channel.annotate("environment", environment(trainer.args))
            if not self._show_training:
                hide_training(trainer)
            if is_replay:
                report_nothing(trainer)
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
                run.leave(self._run_names)
                if is_replay and trainer.args.should_save:
                    delete_folder(trial)

    def _source(self, view: TrackedTrial, seed_shift: int) -> Trainer:
        factory = self._factory
        trainer = self._trainer() if factory is None else built(factory, view, seed_shift)
        check_world(trainer, self._processes)
        return trainer

    def _trainer(self) -> Trainer:
        assert self._recipe is not None
        return self._recipe.trainer

    def _values_for_arguments(self, trainer: Trainer, view: TrackedTrial) -> dict[str, Any]:
        """Return what is set on the arguments: every field that the factory has not read."""
        values = {}
        for name in sorted(self._returned(view.trial) - view.read):
            if name in arguments.field_names(trainer.args):
                by_factory = self._factory is not None
                arguments.check_live(type(trainer), trainer.args, name, by_factory=by_factory)
                values[name] = typed(trainer.args, name, view.trial[name])
        return values

    def _check_built(self, trainer: Trainer, view: TrackedTrial) -> None:
        """Refuse a field that the Trainer of a factory does not read, or warn once.

        What the factory read from the trial it may use in another way than in the arguments, and
        it may build another Trainer in the next trial.
        """
        choices = dict.fromkeys(view.trial)
        fields = arguments.field_names(trainer.args) & choices.keys() & view.trial.params.keys()
        for name in sorted(fields - self._warned_of):
            if name in view.read and getattr(trainer.args, name) != view.trial[name]:
                continue
            why = inert.reason(trainer, name, choices)
            if why is not None and not view.read:
                raise _without_effect(name, why)
            if why is not None:
                self._warned_of.add(name)
                logger.warning("%r seems to change nothing: %s", name, why)

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
            _set_late(trainer, run.trial, frozenset(view.trial) - known)
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
        if takes_nothing(trainer.model_init):
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
        with (
            as_given(self._factory or self._trainer()),
            arguments_travel(),
            nullcontext() if self._recipe is None else self._recipe.travelling(),
        ):
            yield

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_memory": Memory(), "_has_run": False, "_has_travelled": True}


_NO_READER = "model_init takes no argument that it could be read from"


def _set_late(trainer: Trainer, trial: Trial, names: frozenset[str]) -> None:
    """Set what ``model_init`` suggested and the arguments' own class calls a field.

    Raises:
        ArgumentError: It is a field of TrainingArguments themselves: training has begun with
            another value.
    """
    late = names & arguments.field_names(trainer.args)
    too_late = sorted(late & arguments.declared_by_transformers())
    if too_late:
        raise ArgumentError(
            f"model_init suggests {listed(too_late)}, which TrainingArguments have and which were "
            "set before the model was built; suggest it in hp_space"
        )
    if not late:
        return
    for name in sorted(late):
        arguments.check_live(type(trainer), trainer.args, name)
    changed = arguments.with_values(trainer.args, {name: trial[name] for name in late})
    # The training loop holds these very arguments by now.
    vars(trainer.args).update(vars(changed))
    values = {name: getattr(changed, name) for name in sorted(late)}
    trial.channel.annotate("arguments", {**trial.attrs.get("arguments", {}), **values})


def _without_effect(name: str, why: str) -> ArgumentError:
    return ArgumentError(f"{name!r} is searched and changes nothing: {why}")


def _some_values(distribution: Distribution | None) -> Sequence[Any] | None:
    """Return all choices of a parameter, or its least and its largest number; None if unknown."""
    values = None if distribution is None else distribution.values()
    return values if values is None or isinstance(values, tuple) else (values[0], values[-1])


def _groups(trial: Trial | TrialRecord) -> set[str]:
    return {
        name
        for name in trial.derived
        if any(member.startswith(f"{name}.") for member in trial.params)
    }
