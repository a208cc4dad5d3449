"""Opening the Optuna study of a search: create or load it, take over its trials, seed it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from hpsearch.errors import ArgumentError, CapabilityError, OptionError
from hpsearch.study.seeds import derive_seed
from hpsearch_optuna.trials import from_optuna_trial

if TYPE_CHECKING:
    import optuna

    from hpsearch.study.study import Study
    from hpsearch_optuna.options import OptunaOptions


def open_storage(options: OptunaOptions) -> optuna.storages.BaseStorage | None:
    """Return the storage that was given, or that at the URL that was, or None."""
    if not isinstance(options.storage, str):
        storage: optuna.storages.BaseStorage | None = options.storage
        return storage
    from optuna.storages import RDBStorage

    return RDBStorage(options.storage)


def open_study(
    storage: optuna.storages.BaseStorage | None, options: OptunaOptions, study: Study
) -> optuna.Study:
    """Create the study, or load it if that was asked for.

    Raises:
        OptionError: The storage has a study of that name, and it was not to be loaded.
        ArgumentError: The study that it has is searched in other directions.
    """
    import optuna
    from optuna.study import StudyDirection

    try:
        with _quiet() if storage is None else nullcontext():
            native = optuna.create_study(
                storage=storage,
                sampler=options.sampler,
                # Two pruners would stop trials that either one alone would have kept.
                pruner=options.pruner if study.pruner is None else optuna.pruners.NopPruner(),
                study_name=options.study_name,
                directions=[StudyDirection[way.upper()] for way in study.directions],
                load_if_exists=options.load_if_exists,
            )
    except optuna.exceptions.DuplicatedStudyError:
        raise OptionError(
            f"Optuna's storage has a study {options.study_name!r} already; load_if_exists=True "
            "continues it, another study_name= begins a new one"
        ) from None
    directions = tuple(direction.name.lower() for direction in native.directions)
    if directions != study.directions:
        raise ArgumentError(
            f"study {native.study_name!r} in Optuna's storage has the directions "
            f"{'/'.join(directions)}, and this search {'/'.join(study.directions)}"
        )
    return native


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Optuna from announcing a study in memory, under a name that nobody gave it."""
    import optuna

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(max(verbosity, optuna.logging.WARNING))
    try:
        yield
    finally:
        optuna.logging.set_verbosity(verbosity)


def take_over(native: optuna.Study, study: Study) -> list[optuna.trial.FrozenTrial]:
    """Make the trials that ended in Optuna's storage the study's own, and return them.

    Those that wait there are run in this search. Those that run there are left alone: another
    process may run them.

    Raises:
        SpaceError: One does not fit the study's space.
    """
    ended = [trial for trial in native.get_trials(deepcopy=False) if trial.state.is_finished()]
    if ended:
        study.history.adopt([from_optuna_trial(trial, study) for trial in ended])
    return ended


def seed_sampler(native: optuna.Study, options: OptunaOptions, study: Study) -> None:
    """Give the sampler a seed with which no trial of an earlier run is drawn again.

    Raises:
        CapabilityError: The sampler would begin again with its first trial.
    """
    from optuna.samplers import GridSampler, QMCSampler

    earlier = len(study.trials)
    if options.sampler is None:
        # Optuna's choice, which it has made by now, with a seed.
        seed = derive_seed(study.seed, earlier) if earlier else study.seed
        default: Any = type(native.sampler)
        native.sampler = default(seed=seed)
    elif earlier:
        if isinstance(native.sampler, GridSampler | QMCSampler) and options.storage is None:
            raise CapabilityError(
                f"{type(native.sampler).__name__} keeps its place in Optuna's storage, and would "
                "draw the trials of the journal again; use Optuna's storage instead, as in "
                "storage='sqlite:///optuna.db', or another sampler"
            )
        native.sampler.reseed_rng()
