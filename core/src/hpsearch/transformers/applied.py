"""Trainers of other libraries that apply hyperparameters by themselves, such as SetFit's.

They are known by what they can do, and no such library is imported.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard, cast, runtime_checkable

from transformers import Trainer, set_seed
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from hpsearch.errors import ArgumentError, SearchAborted
from hpsearch.study.trial import Trial
from hpsearch.transformers import arguments, compat
from hpsearch.transformers.baseline import enqueue_baseline
from hpsearch.transformers.build import takes_nothing
from hpsearch.transformers.declared import check_distribution, typed
from hpsearch.transformers.metrics import (
    ComputeObjective,
    Limit,
    Objective,
    ObjectiveFrom,
    as_thresholds,
    scalars,
)
from hpsearch.transformers.names import RunNames
from hpsearch.transformers.quiet import hide_training, quiet_loading
from hpsearch.transformers.ranks.launch import processes
from hpsearch.transformers.recipe import pickled_by
from hpsearch.transformers.repeats import Folds, Part, Repeats, check_continued, check_repeats
from hpsearch.transformers.resume import write_record
from hpsearch.transformers.snapshot import Memory, as_given, restored, start_afresh
from hpsearch.transformers.tracked import (
    RecordedTrial,
    SpaceFunction,
    TrackedTrial,
    names_to_set,
)
from hpsearch.validators import flag

if TYPE_CHECKING:
    from hpsearch.study.study import BestRun, Study


@runtime_checkable
class AppliesHyperparameters(Protocol):
    """A Trainer that takes a trial's parameters and builds its model by itself.

    A class of one's own that has these can be searched as well.

    Attributes:
        args: A dataclass with the fields that can be searched. A field ``seed`` and a field
            ``output_dir`` are set for each trial.
        model: The model. Its ``save_pretrained`` and ``from_pretrained`` keep and load it.
        model_init: A function of the parameters that builds a new model.
    """

    args: Any
    model: Any
    model_init: Any

    def apply_hyperparameters(self, params: dict[str, Any]) -> Any:
        """Set the fields of ``args`` that are named, and build ``model_init(params)``."""

    def train(self) -> Any:
        """Train the model."""

    def evaluate(self) -> Mapping[str, float]:
        """Return the metrics of the trained model, by name."""


def applies_hyperparameters(trainer: object) -> TypeGuard[AppliesHyperparameters]:
    """Whether this is such a Trainer, and not one of transformers."""
    return isinstance(trainer, AppliesHyperparameters) and not isinstance(trainer, Trainer)


class AppliedObjective:
    """Trains such a Trainer with a trial's parameters and returns its objective.

    Each trial starts from the Trainer as it was given, and afterwards the Trainer is as before.
    It is evaluated once, after its training.

    Args:
        trainer: The Trainer.
        compute_objective: See :class:`~hpsearch.transformers.objective.TrainerObjective`, as for
            all that follow.
        hp_name: From the trial to the name of its run and folder.
        objective_from: Which evaluation counts; there is only one.
        constraints: Limits of metrics, by name.
        checkpoint: Whether each trial leaves its model.
        baseline: Try the arguments that the Trainer came with as well.
        check_replay: True is refused: such a Trainer is not trained twice.
        repeats: How often each trial trains.
        show_training: Show the progress bars and printed logs of the Trainers inside.
        direction_said: Whether the user said in which direction, by whatever means.
        space_function: The define-by-run function that is searched, where there is one.

    Raises:
        ArgumentError: The Trainer cannot be searched, or another argument has a value that it
            cannot have.
    """

    def __init__(
        self,
        trainer: AppliesHyperparameters,
        *,
        compute_objective: ComputeObjective | str | Sequence[str] | None = None,
        hp_name: Callable[[Any], str] | None = None,
        objective_from: ObjectiveFrom | None = None,
        constraints: Mapping[str, Limit] | None = None,
        checkpoint: bool = False,
        baseline: bool = False,
        check_replay: bool = False,
        repeats: Repeats | None = None,
        show_training: bool = False,
        direction_said: bool = True,
        space_function: SpaceFunction | None = None,
    ) -> None:
        check_repeats(repeats, checkpoint=checkpoint)
        if processes() > 1:
            raise ArgumentError(
                f"{processes()} processes were started, and a Trainer that is not one of "
                "transformers trains in one; start the search without a launcher"
            )
        if trainer.model_init is None:
            raise ArgumentError(
                "the Trainer was given a model, and each trial needs a new one: give it "
                "model_init=... instead of model=..."
            )
        lacks_data = getattr(trainer, "eval_dataset", trainer) is None
        if lacks_data and not isinstance(repeats, Folds):
            raise ArgumentError("the Trainer has no eval_dataset, so no trial can be judged")
        self._trainer = trainer
        if flag("check_replay", check_replay):
            raise ArgumentError(
                "check_replay=True trains Trainers of transformers twice, and this Trainer is not "
                "one of them; leave it out"
            )
        self.thresholds = as_thresholds(constraints)
        self._objective = Objective(
            compute_objective, objective_from, self.thresholds, direction_said=direction_said
        )
        self._run_names = RunNames(hp_name)
        self._checkpoint = checkpoint
        self._baseline = flag("baseline", baseline)
        self._repeats = repeats
        self._show_training = flag("show_training", show_training)
        self._space_function = space_function
        self._memory = Memory()

    def prepare(self, study: Study) -> None:
        """Refuse what cannot work; called by :func:`hpsearch.search` before the first trial.

        Raises:
            ArgumentError: A name is misspelt, cannot be searched, or would be read by nobody; or a
                parameter has values that its field cannot take.
        """
        args, cls = self._trainer.args, cast("Any", type(self._trainer))
        names = study.parameter_names or ()
        parameters = study.space.parameters if study.space is not None else {}
        for name in names:
            if name in arguments.field_names(args):
                arguments.check_live(cls, args, name)
                if name in parameters:
                    check_distribution(args, name, parameters[name])
                continue
            arguments.check_not_misspelt(cls, args, name)
            if self._space_function is None and takes_nothing(self._trainer.model_init):
                raise arguments.unread(name, args, "model_init takes no argument")
        if self._repeats is not None:
            self._repeats.check(self._trainer, names)
        self._objective.take_part(study.directions, study.metrics)
        self._objective.check_thresholds(study.thresholds)
        self._objective.check_continued(study.trials, _JUDGED)
        check_continued(study.trials, self._repeats)
        self._objective.announce(_JUDGED, None)
        self._run_names.take_over(study.trials)
        if self._baseline and not study.trials:
            enqueue_baseline(args, study)

    def __call__(self, trial: Trial) -> tuple[float, ...]:
        """Run one trial.

        Raises:
            SearchAborted: The parameters cannot take effect; the search ends.
            TrialPruned: The study wanted the trial stopped.
        """
        try:
            wanted = self._show_training
            with quiet_loading(bars=wanted, reports=wanted):
                if self._repeats is None:
                    return self._train(trial)
                return self._repeats.run(trial, self._train)
        except ArgumentError as error:
            raise SearchAborted(error) from error
        finally:
            if "output_dir" in trial.attrs:
                self._run_names.leave(Path(trial.attrs["output_dir"]))

    def _train(self, trial: Trial, part: Part | None = None) -> tuple[float, ...]:
        view, channel, memory = TrackedTrial(trial), trial.channel, self._memory
        with memory.trial(trial.number), _lent(self._trainer, memory) as trainer:
            if not self._show_training:
                for inner in _inner(trainer):
                    hide_training(inner)
            if part is not None:
                part.set_data(trainer)
            values = self._values(view)
            folder = _folder(trainer)
            seed = _apply(trainer, values, view, 0 if part is None else part.seed_shift)
            self._check_read(view)
            name = channel.agree("run_name", lambda: self._run_names.of(trial, folder))
            channel.annotate("arguments", values)
            channel.annotate("training_seed", seed)
            channel.annotate("run_name", name)
            channel.annotate("search", self._run_names.search)
            channel.annotate("output_dir", str((folder / name).absolute()))
            trainer.args.output_dir = str(folder / name / ("" if part is None else part.name))
            trainer.train()
            metrics = trainer.evaluate()
            objectives = self._objective.of(metrics, _JUDGED)
            self._objective.check_bounded(metrics)
            if self._checkpoint:
                saved = _folder(trainer).absolute() / _SAVED
                trainer.model.save_pretrained(str(saved))
                write_record(saved, trial, search=self._run_names.search, values=objectives)
                channel.annotate("checkpoints", [str(saved)])
                channel.annotate("checkpoint", str(saved))
            channel.annotate("metrics", scalars(metrics))
            return objectives

    def _values(self, view: TrackedTrial) -> dict[str, Any]:
        """Return what is set on the arguments."""
        args, cls = self._trainer.args, cast("Any", type(self._trainer))
        names = names_to_set(self._space_function, view.trial) & arguments.field_names(args)
        for name in names:
            arguments.check_live(cls, args, name)
        return {name: typed(args, name, view.trial[name]) for name in sorted(names)}

    def _check_read(self, view: TrackedTrial) -> None:
        """Refuse a name that changes nothing."""
        args = self._trainer.args
        names = names_to_set(self._space_function, view.trial) - view.read
        for name in sorted(names - arguments.field_names(args)):
            raise arguments.unread(name, args, "model_init(params) did not read it")

    def parts(self) -> dict[str, Any]:
        """Return what travels, by the names under which an error speaks of it."""
        return {
            "the Trainer": self._trainer,
            "compute_objective": self._objective.compute,
            "hp_name": self._run_names.hp_name,
        }

    @contextmanager
    def travelling(self) -> Iterator[None]:
        """Pickle the Trainers inside without what each process makes for itself."""
        memory = Memory(collects=False)
        with as_given(self._trainer), _lent(self._trainer, memory), ExitStack() as stack:
            for inner in _inner(self._trainer):
                stack.enter_context(as_given(inner))
                for part in (inner, inner.callback_handler):
                    for name in compat.LEFT_BY_TRAINING & vars(part).keys():
                        setattr(part, name, None)
                process = compat.PROCESS_OF_ARGUMENTS
                left_out = (type(inner), _MADE), (type(inner.args), process)
                for kind, names in left_out:
                    reduce = partial(_reduced_without, names)
                    stack.enter_context(pickled_by(kind, reduce))
            yield


_MADE = frozenset({"accelerator", "gather_function"})
"""What ``Trainer.create_accelerator_and_postprocess`` makes."""

_SAVED = f"{PREFIX_CHECKPOINT_DIR}-0"
"""Where a trial's model is saved, in its run's folder; no Trainer saves anything at step 0."""


_JUDGED: Any = SimpleNamespace(
    args=SimpleNamespace(
        metric_for_best_model=None,
        greater_is_better=None,
        load_best_model_at_end=False,
        lr_scheduler_type=None,
    ),
    compute_metrics=True,
    measured_by="evaluate()",
)
"""What an objective asks of a Trainer: whatever ``evaluate`` returns counts."""


def load_model(trainer: AppliesHyperparameters, checkpoint: str) -> Any:
    """Load the model of a checkpoint into the Trainer and return it."""
    trainer.model = type(trainer.model).from_pretrained(checkpoint)
    return trainer.model


def train_again(
    trainer: AppliesHyperparameters, best: BestRun, **train_options: Any
) -> AppliesHyperparameters:
    """Train as the best run did; the Trainer keeps the parameters and the model."""
    for inner in _inner(trainer):
        start_afresh(inner)
    _apply(trainer, best.trial.attrs["arguments"], RecordedTrial(best.trial))
    trainer.train(**train_options)
    return trainer


def _apply(
    trainer: AppliesHyperparameters,
    values: Mapping[str, Any],
    view: TrackedTrial,
    seed_shift: int = 0,
) -> int:
    """Set the values and build the model from the trial; return the seed of both."""
    seed: int = values.get("seed", getattr(trainer.args, "seed", 0)) + seed_shift
    if "seed" in arguments.field_names(trainer.args):
        values = {**values, "seed": seed}
    set_seed(seed)
    build = trainer.model_init
    trainer.model_init = lambda _params=None: build() if takes_nothing(build) else build(view)
    try:
        trainer.apply_hyperparameters(dict(values))
    finally:
        trainer.model_init = build
    return seed


@contextmanager
def _lent(trainer: AppliesHyperparameters, memory: Memory) -> Iterator[AppliesHyperparameters]:
    """Lend a Trainer to one training, and put its attributes back, those of Trainers in it too."""
    own = vars(trainer).copy()
    # Each training has a new model, under whatever name the Trainer keeps it.
    model = getattr(trainer, "model", None)
    parts = {
        f"trainer.{name}": value
        for name, value in own.items()
        if value is not model and not isinstance(value, Trainer)
    }
    with ExitStack() as stack:
        stack.enter_context(memory.kept(parts))
        for inner in _inner(trainer):
            if not hasattr(inner, "accelerator"):  # it comes from another process
                inner.args = copy.copy(inner.args)
                arguments.check_again(inner.args)
                inner.create_accelerator_and_postprocess()
            stack.enter_context(restored(inner, memory))
            inner.args = copy.copy(inner.args)  # such a Trainer sets its values on them in place
            start_afresh(inner)
        try:
            yield trainer
        finally:
            vars(trainer).clear()
            vars(trainer).update(own)


def _inner(trainer: AppliesHyperparameters) -> list[Trainer]:
    return [part for part in vars(trainer).values() if isinstance(part, Trainer)]


def _reduced_without(names: Collection[str], part: object) -> Any:
    """Return how an object is pickled without some of its attributes."""
    state = {name: value for name, value in vars(part).items() if name not in names}
    return _empty, (type(part),), state


def _empty(cls: Any) -> Any:
    return cls.__new__(cls)


def _folder(trainer: AppliesHyperparameters) -> Path:
    return Path(getattr(trainer.args, "output_dir", None) or ".")
