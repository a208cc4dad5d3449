"""The journal: the trials of any number of studies in one SQLite file, so that nothing is lost.

:class:`Journal` is the plugin that hears of everything first: what anybody else was told is in the
file. :func:`load` reads a study back, also while it runs. ``docs/journal.md`` says what users can
rely on.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any

from hpsearch.errors import ArgumentError, JournalError, SpaceError, listed, nearest
from hpsearch.plugins.hookspecs import hookimpl
from hpsearch.session.coordinator import INTERRUPTED
from hpsearch.space.distributions import Categorical, Distribution
from hpsearch.space.space import Space
from hpsearch.storage import schema as journal_file
from hpsearch.storage.lock import StudyLock, this_process
from hpsearch.storage.schema import WAITING, Record, encode, path_of
from hpsearch.study.trial import Trial, TrialError, TrialState

if TYPE_CHECKING:
    from hpsearch.study.study import Study

logger = logging.getLogger("hpsearch")

_ENTER = """
    INSERT INTO study (name, directions, space, seed, backend, n_trials, owner)
    VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (name) DO UPDATE SET
        space = coalesce(excluded.space, space), backend = excluded.backend,
        n_trials = excluded.n_trials, owner = excluded.owner
    RETURNING key"""
_WAIT = """
    INSERT OR IGNORE INTO trial (study, number, id, state, attempts, started, params, fixed)
    VALUES (?, ?, ?, 'waiting', 0, 0, ?, ?)"""
_START = """
    INSERT INTO trial (study, number, id, state, attempts, retry_of, started, params, fixed)
    VALUES (?, ?, ?, 'running', 1, ?, ?, ?, ?)
    ON CONFLICT (study, number) DO UPDATE SET
        id = excluded.id, state = 'running', attempts = attempts + 1, started = excluded.started,
        params = excluded.params, fixed = excluded.fixed, ended = NULL, objectives = NULL,
        derived = NULL, distributions = NULL, attrs = NULL, error = NULL"""
_FORGET_REPORTS = "DELETE FROM report WHERE study = ? AND number = ?"
_REPORT = "INSERT OR REPLACE INTO report VALUES (?, ?, ?, ?)"
_SUGGESTED = "UPDATE trial SET params = ?, distributions = ? WHERE study = ? AND number = ?"
_NOT_DIED = "UPDATE trial SET attempts = attempts - 1 WHERE study = ? AND number = ?"
_END = """
    UPDATE trial SET state = ?, ended = ?, objectives = ?, derived = ?, attrs = ?, error = ?
    WHERE study = ? AND number = ?"""


@dataclass(frozen=True, slots=True)
class Durable(PathLike[str]):
    """The path of a journal in which every trial survives a power cut too.

    ``storage="study.db"`` loses nothing when the process is killed; when the machine goes down,
    the trials of the last moments may be missing. ``storage=Durable("study.db")`` waits for the
    disk at every write, which is some ten times slower: still less than a millisecond on an SSD.
    """

    path: str | PathLike[str]

    def __fspath__(self) -> str:
        return os.fspath(self.path)

    def __str__(self) -> str:
        return os.fspath(self.path)


def load(storage: str | PathLike[str], name: str | None = None) -> Study:
    """Return a study as it is now, without running it; it may be running elsewhere.

    Args:
        storage: The journal's path. It is only read.
        name: The study's name; may be left out where the journal has one study.

    Raises:
        JournalError: There is no such journal or study, or several and no name was given.
    """
    path = path_of(storage)
    with journal_file.reading(path) as connection:
        known = journal_file.study_names(connection)
        if name is None and len(known) == 1:
            name = known[0]
        row = None if name is None else journal_file.find_study(connection, name)
        if row is None:
            asked = "no study was named" if name is None else f"there is no study {name!r}"
            hint = nearest(name, known) if name else ""
            raise JournalError(f"{asked}; {path} has {listed(known)}.{hint}")
        study = journal_file.read_study(row)
        records = journal_file.read_trials(connection, row)
    study._trials = [record.trial for record in records if record.state != WAITING]
    if study.space is not None and any(trial.distributions for trial in study.trials):
        _describe(study.trials, study.space)
        study.space = study.parameter_names = None
    return study


def names(storage: str | PathLike[str]) -> list[str]:
    """Return the names of a journal's studies, the oldest first.

    Raises:
        JournalError: There is no such journal.
    """
    with journal_file.reading(path_of(storage)) as connection:
        return journal_file.study_names(connection)


class Journal:
    """Keeps a search in a file: its seed and space, and each trial as it starts, reports and ends.

    Args:
        storage: The file's path, or :class:`Durable`.
        resume: Continue the study of that name if the file has it; otherwise that is an error.
        seed_given: Whether the user gave a seed, which must then be the recorded one.

    Raises:
        ArgumentError: ``storage`` is no path of a file.
    """

    def __init__(self, storage: str | PathLike[str], *, resume: bool, seed_given: bool) -> None:
        self._path = path_of(storage)
        self._durable = isinstance(storage, Durable)
        self._resume = resume
        self._seed_given = seed_given
        self._lock: StudyLock | None = None
        self._connection: sqlite3.Connection | None = None
        self._key = 0
        # How many parameters the file has of each running trial.
        self._running: dict[int, int] = {}
        self._unfinished: frozenset[int] = frozenset()

    # The hooks.

    @hookimpl
    def hpsearch_open(self, study: Study) -> None:
        if not isinstance(study.name, str) or not study.name:
            raise ArgumentError(f"name is {study.name!r}, expected the study's name as text")
        journal_file.check_file(self._path)
        self._lock = StudyLock(self._path, study.name)
        self._lock.acquire()
        with journal_file.explained(self._path):
            self._connection = journal_file.open_to_write(self._path)
            with self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                self._enter(study, self._connection)
            # Only now: a study that is refused leaves the file as it was, to the last byte.
            journal_file.write_ahead(self._connection, durable=self._durable)

    @hookimpl
    def hpsearch_start(self, trial: Trial) -> None:
        self._running[trial.number] = len(trial._params)
        key = (self._key, trial.number)
        if trial.number in self._unfinished:
            self._execute(_FORGET_REPORTS, key)
        params = (encode(trial._params), encode(dict(trial.fixed)))
        self._execute(_START, (*key, trial.id, trial.retry_of, trial.started, *params))

    @hookimpl
    def hpsearch_report(self, trial: Trial, step: int, values: tuple[float, ...]) -> None:
        self._write_suggested(trial)
        self._execute(_REPORT, (self._key, trial.number, step, encode(values)))

    @hookimpl
    def hpsearch_tell(self, trial: Trial) -> None:
        self._write_suggested(trial)
        if trial.error is not None and trial.error.type == INTERRUPTED:
            self._execute(_NOT_DIED, (self._key, trial.number))
        self._write_end(trial)
        self._running.pop(trial.number, None)

    @hookimpl
    def hpsearch_close(self) -> None:
        try:
            # This process lives: the trials that it leaves behind did not take it down.
            for number in self._running:
                self._execute(_NOT_DIED, (self._key, number))
        finally:
            if self._connection is not None:
                journal_file.close(self._connection)
            if self._lock is not None:
                self._lock.release()

    # Opening a study.

    def _enter(self, study: Study, connection: sqlite3.Connection) -> None:
        """Create the study or take it over, and say that it is run by this process."""
        row = journal_file.find_study(connection, study.name)
        if row is not None:
            if not self._resume:
                raise JournalError(
                    f"study {study.name!r} is in {self._path} already; continue it with "
                    "resume=True, or give another name="
                )
            self._take_over(study, connection, row)
        space = None if study.space is None else study.space.to_json()
        what = (study.name, encode(study.directions), space, study.seed)
        how = (study.backend, study.n_trials, encode(this_process()))
        (self._key,) = connection.execute(_ENTER, (*what, *how)).fetchone()
        for number, params in study.history.waiting.items():
            text = encode(dict(params))
            connection.execute(_WAIT, (self._key, number, str(number), text, text))

    def _take_over(self, study: Study, connection: sqlite3.Connection, row: sqlite3.Row) -> None:
        recorded = journal_file.read_study(row)
        for difference in _differences(recorded, study, self._seed_given):
            raise JournalError(
                f"study {study.name!r} in {self._path} cannot go on: {difference}. Give what it "
                "was started with, or another name="
            )
        study.seed = recorded.seed
        self._key = row["key"]
        records = journal_file.read_trials(connection, row)
        if study.space is None and recorded.space is not None:
            _describe([record.trial for record in records], recorded.space)
        elif study.space is not None and recorded.space is None:
            self._check_points(study.space, records)
        for record in records:
            if record.lost:
                self._give_up(record)
        unfinished = [record.trial for record in records if record.unfinished]
        self._unfinished = frozenset(trial.number for trial in unfinished)
        study.history.restore([r.trial for r in records if not r.unfinished], unfinished)

    def _give_up(self, record: Record) -> None:
        trial = record.trial
        trial.state = TrialState.FAILED
        trial.error = TrialError(
            "ProcessDied", f"the process died while this trial ran, {record.attempts} times"
        )
        logger.warning("trial %d failed: %s", trial.number, trial.error)
        self._write_end(trial)

    def _check_points(self, space: Space, records: Iterable[Record]) -> None:
        """Check the trials of a define-by-run study that goes on with a portable space."""
        for record in records:
            try:
                space.validate(record.trial.params)
            except SpaceError as error:
                if record.unfinished and record.state != WAITING:
                    # It was cut short before it had asked for everything, and starts afresh.
                    record.trial._params.clear()
                elif record.state != TrialState.FAILED:
                    raise JournalError(
                        f"trial {record.trial.number} of the study in {self._path} is not in the "
                        f"space given: {error}. Give another space, or another name="
                    ) from None

    # Writing.

    def _execute(self, statement: str, values: tuple[Any, ...]) -> None:
        assert self._connection is not None
        self._connection.execute(statement, values)

    def _write_suggested(self, trial: Trial) -> None:
        """Write what a trial was given since the file last heard of it.

        In a define-by-run search that is more; a trial that was changed has as many as before.
        """
        if len(trial._params) != self._running.get(trial.number) or "changed_params" in trial.attrs:
            self._running[trial.number] = len(trial._params)
            drawn = {name: item.to_dict() for name, item in trial.distributions.items()}
            values = (encode(trial._params), encode(drawn), self._key, trial.number)
            self._execute(_SUGGESTED, values)

    def _write_end(self, trial: Trial) -> None:
        error = None if trial.error is None else encode(trial.error.to_dict())
        facts = (encode(trial.objectives), encode(trial._derived), encode(trial.attrs), error)
        self._execute(_END, (str(trial.state), trial.ended, *facts, self._key, trial.number))


def _differences(recorded: Study, given: Study, seed_given: bool) -> Iterator[str]:
    """Say in which ways a study is not the recorded one."""
    if recorded.directions != given.directions:
        yield f"its directions are {listed(recorded.directions)}, not {listed(given.directions)}"
    if seed_given and recorded.seed != given.seed:
        yield f"its seed is {recorded.seed}, not {given.seed}"
    if recorded.space is None or given.space is None:
        return
    before, now = recorded.space, given.space
    for name in {**before.parameters, **now.parameters}:
        if name not in now.parameters:
            yield f"its space has parameter {name!r}, and the one given has not"
        elif name not in before.parameters:
            yield f"its space has no parameter {name!r}, and the one given has"
        elif not _same(before.parameters[name], now.parameters[name]):
            yield f"parameter {name!r} is {before.parameters[name]}, not {now.parameters[name]}"
        elif before.conditions.get(name) != now.conditions.get(name):
            yield f"parameter {name!r} has another condition than in the space given"


def _same(one: Distribution, other: Distribution) -> bool:
    # To Python 1, 1.0 and True are equal, and as choices they are three.
    return one == other and (not isinstance(one, Categorical) or str(one) == str(other))


def _describe(trials: Iterable[Trial], space: Space) -> None:
    """Say of trials drawn from a portable space what each of their parameters was drawn from."""
    for trial in trials:
        if not trial.distributions:
            known = space.parameters
            trial.distributions = {name: known[name] for name in trial.params if name in known}
