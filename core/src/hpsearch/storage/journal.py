"""The journal: the trials of any number of studies in one SQLite file, so that nothing is lost.

:class:`Journal` is the plugin that hears of everything first: what anybody else was told is in the
file. :func:`load` reads a study back, also while it runs. ``docs/journal.md`` says what users can
rely on.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from hpsearch.errors import JournalError, SpaceError, listed, nearest
from hpsearch.plugins.hookspecs import hookimpl
from hpsearch.space.space import Space
from hpsearch.storage import schema
from hpsearch.storage.lock import StudyLock, this_process
from hpsearch.storage.schema import WAITING, Row, encode
from hpsearch.study.outcome import INTERRUPTED, TrialError, TrialState
from hpsearch.study.record import TrialRecord
from hpsearch.study.serial import dumps, error_to_dict, make_canonical, record_to_dict

if TYPE_CHECKING:
    from pathlib import Path

    from hpsearch.study.study import Study

logger = logging.getLogger("hpsearch")

_ENTER = """
    INSERT INTO study (name, directions, space, seed, backend, n_trials, timeout, thresholds, owner)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (name) DO UPDATE SET
        space = excluded.space, backend = excluded.backend, n_trials = excluded.n_trials,
        timeout = excluded.timeout, thresholds = excluded.thresholds, owner = excluded.owner,
        chosen = NULL
    RETURNING key"""
_WAIT = """
    INSERT OR IGNORE INTO trial (study, number, id, state, attempts, started, params, fixed)
    VALUES (?, ?, ?, 'waiting', 0, 0, ?, ?)"""
_START = """
    INSERT INTO trial (study, number, id, state, attempts, retry_of, started, params, fixed)
    VALUES (?, ?, ?, 'running', 1, ?, ?, ?, ?)
    ON CONFLICT (study, number) DO UPDATE SET
        id = excluded.id, state = 'running', attempts = attempts + 1, started = excluded.started,
        params = excluded.params, fixed = excluded.fixed, ended = NULL, duration = NULL,
        told = NULL, objectives = NULL, derived = NULL, distributions = NULL, attrs = NULL,
        constraints = NULL, error = NULL"""
_FORGET_REPORTS = "DELETE FROM report WHERE study = ? AND number = ?"
_REPORT = "INSERT OR REPLACE INTO report (study, number, step, value) VALUES (?, ?, ?, ?)"
_SUGGESTED = "UPDATE trial SET params = ?, distributions = ? WHERE study = ? AND number = ?"
_NOT_DIED = "UPDATE trial SET attempts = attempts - 1 WHERE study = ? AND number = ?"
_END = """
    UPDATE trial SET state = ?, ended = ?, duration = ?, told = ?, objectives = ?, derived = ?,
        attrs = ?, constraints = ?, error = ?
    WHERE study = ? AND number = ?"""
_AMEND = "UPDATE trial SET attrs = ?, constraints = ? WHERE study = ? AND number = ?"
_DESCRIBE = "UPDATE trial SET distributions = ? WHERE study = ? AND number = ?"
_ENTERED = """
    SELECT
        name, directions, space, seed, backend, n_trials, timeout, thresholds, owner, chosen
    FROM study
    WHERE key = ?"""
_KEPT = """
    SELECT COUNT(*) FILTER (WHERE state != 'waiting'), COALESCE(MAX(told), 0) FROM trial
    WHERE study = ?"""
_CHOSEN = "UPDATE study SET chosen = ? WHERE key = ?"

_CHECKPOINT = 1000
"""After so many trials the log goes into the file: some 10 MB, where trials are small."""


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


class Restorer(Protocol):
    """Who takes over what a journal has of an earlier run: the coordinator of the search."""

    @property
    def waiting(self) -> Mapping[int, Mapping[str, Any]]:
        """What is enqueued or unfinished: parameters by trial number."""

    def restore(self, ended: Sequence[TrialRecord], unfinished: Sequence[TrialRecord]) -> None:
        """Take over the trials that ended, in that order, and those that run again."""


def load(storage: str | PathLike[str], name: str | None = None) -> Study:
    """Return a study as it is now, without running it; it may be running elsewhere.

    Args:
        storage: The journal's path. It is only read.
        name: The study's name; may be left out where the journal has one study.

    Raises:
        JournalError: There is no such journal or study, or several and no name was given; or the
            journal is damaged.
    """
    path = schema.path_of(storage)
    with schema.reading(path) as connection:
        known = schema.study_names(connection)
        if name is None and len(known) == 1:
            name = known[0]
        row = None if name is None else schema.find_study(connection, name)
        if row is None:
            asked = "no study was named" if name is None else f"there is no study {name!r}"
            hint = nearest(name, known) if name else ""
            raise JournalError(f"{asked}; {path} has {listed(known)}.{hint}")
        rows = schema.read_trials(path, connection, row)
        return schema.read_study(path, row, [item.trial for item in rows if item.state != WAITING])


def names(storage: str | PathLike[str]) -> list[str]:
    """Return the names of a journal's studies, the oldest first.

    Raises:
        JournalError: There is no such journal.
    """
    with schema.reading(schema.path_of(storage)) as connection:
        return schema.study_names(connection)


class Journal:
    """Keeps a search in a file: its seed and space, and each trial as it starts, reports and ends.

    Args:
        storage: The file's path, or :class:`Durable`.
        restorer: Takes over the trials of an earlier run.
        resume: Continue the study of that name if the file has it; otherwise that is an error.
        seed_given: Whether the user gave a seed, which must then be the recorded one.

    Raises:
        ArgumentError: ``storage`` is not the path of a file.
    """

    def __init__(
        self,
        storage: str | PathLike[str],
        restorer: Restorer,
        *,
        resume: bool,
        seed_given: bool,
    ) -> None:
        self._path = schema.path_of(storage)
        self._restorer = restorer
        self._durable = isinstance(storage, Durable)
        self._resume = resume
        self._seed_given = seed_given
        self._lock: StudyLock | None = None
        self._connection: sqlite3.Connection | None = None
        self._file: _File | None = None
        self._changes = 0
        self._touched = False
        self._key = 0
        self._entered: tuple[Any, ...] = ()
        self._waiting: frozenset[int] = frozenset()
        self._told = 0
        self._ended_here = False
        # How many parameters the file has of each running trial.
        self._running: dict[int, int] = {}
        self._unfinished: frozenset[int] = frozenset()

    # The hooks.

    @hookimpl
    def hpsearch_open(self, study: Study) -> None:
        schema.check_file(self._path)
        self._lock = StudyLock(self._path, study.name)
        self._lock.acquire()
        with schema.explained(self._path):
            self._connection = schema.open_to_write(self._path)
            with self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                self._enter(study, self._connection)
            # Only now: a study that is refused leaves the file as it was, to the last byte.
            schema.write_ahead(self._connection, durable=self._durable)
            self._changes = schema.changes_by_others(self._connection)
            self._file = _File.at(self._path)

    @hookimpl
    def hpsearch_start(self, trial: TrialRecord) -> None:
        self._running[trial.number] = len(trial.params)
        key = (self._key, trial.number)
        if trial.number in self._unfinished:
            self._execute(_FORGET_REPORTS, key)
        params = (encode(dict(trial.params)), encode(dict(trial.fixed)))
        self._write(_START, (*key, trial.id, trial.retry_of, trial.started, *params))

    @hookimpl
    def hpsearch_report(self, trial: TrialRecord, step: int, values: tuple[float, ...]) -> None:
        self._write_suggested(trial)
        self._write(_REPORT, (self._key, trial.number, step, encode(values)))

    @hookimpl
    def hpsearch_tell(self, trial: TrialRecord) -> None:
        self._write_suggested(trial)
        if trial.error is not None and trial.error.type == INTERRUPTED:
            self._write(_NOT_DIED, (self._key, trial.number))
        self._write_end(trial)
        self._running.pop(trial.number, None)
        self._check_there()
        if self._told % _CHECKPOINT == 0:
            self._checkpoint()

    @hookimpl
    def hpsearch_amend(self, trial: TrialRecord) -> None:
        facts = (encode(trial.attrs), encode(trial.constraints))
        self._write(_AMEND, (*facts, self._key, trial.number))

    @hookimpl
    def hpsearch_close(self, study: Study, error: BaseException | None) -> None:
        with contextlib.ExitStack() as ending:
            if self._lock is not None:
                ending.callback(self._lock.release, discard=not self._key)
            if self._connection is None:
                return
            try:
                if self._key:
                    self._write_last(study)
            finally:
                schema.close(self._connection)
            if self._key:
                self._check_kept(study, whole=self._touched and error is None)

    # Opening a study.

    def _enter(self, study: Study, connection: sqlite3.Connection) -> None:
        """Create the study or take it over, and say that it is run by this process."""
        row = schema.find_study(connection, study.name)
        if row is not None:
            if not self._resume:
                raise JournalError(
                    f"study {study.name!r} is in {self._path} already; continue it with "
                    "resume=True, or give another name="
                )
            self._take_over(study, connection, row)
        space = None if study.space is None else study.space.to_json()
        what = (study.name, dumps(study.directions), space, study.seed)
        how = (study.backend, study.n_trials, study.timeout)
        thresholds = encode([asdict(threshold) for threshold in study.thresholds])
        self._entered = (*what, *how, thresholds, dumps(this_process()))
        (key,) = connection.execute(_ENTER, self._entered).fetchone()
        self._waiting = frozenset(self._restorer.waiting)
        for number, params in self._restorer.waiting.items():
            text = encode(dict(params))
            connection.execute(_WAIT, (key, number, str(number), text, text))
        self._key = key

    def _take_over(self, study: Study, connection: sqlite3.Connection, row: sqlite3.Row) -> None:
        recorded = schema.read_study(self._path, row)
        for difference in _differences(recorded, study, self._seed_given):
            raise JournalError(
                f"study {study.name!r} in {self._path} cannot continue: {difference}. Give what "
                "it was started with, or another name="
            )
        study.seed = recorded.seed
        study.thresholds = study.thresholds or recorded.thresholds
        key = row["key"]
        rows = schema.read_trials(self._path, connection, row)
        self._told = max((item.told or 0 for item in rows), default=0)
        if study.space is None and recorded.space is not None:
            for item in rows:
                self._describe(connection, key, item.trial, recorded.space)
        elif study.space is not None:
            self._check_points(study.space, rows)
        for item in rows:
            if item.lost:
                self._give_up(connection, key, item)
        unfinished = [item.trial for item in rows if item.unfinished]
        self._unfinished = frozenset(trial.number for trial in unfinished)
        ended = sorted((item for item in rows if not item.unfinished), key=lambda item: item.end)
        self._restorer.restore([item.trial for item in ended], unfinished)

    def _give_up(self, connection: sqlite3.Connection, key: int, row: Row) -> None:
        trial = row.trial
        text = f"the process died while this trial ran, {row.attempts} times"
        # When it ended nobody knows.
        trial.state, trial.error = TrialState.FAILED, TrialError("ProcessDied", text)
        logger.warning("trial %d failed: %s", trial.number, trial.error)
        self._told += 1
        connection.execute(_END, (*_end_of(trial, self._told), key, trial.number))

    def _describe(
        self, connection: sqlite3.Connection, key: int, trial: TrialRecord, space: Space
    ) -> None:
        """Say of a trial drawn from a portable space what its parameters were drawn from.

        The study goes on without a space, and has only the trials' own words from here on.
        """
        if trial.distributions:
            return
        for name in trial.params:
            if name in space.parameters:
                trial.suggest(name, trial.params[name], space.parameters[name])
        drawn = {name: item.to_dict() for name, item in trial.distributions.items()}
        connection.execute(_DESCRIBE, (encode(drawn), key, trial.number))

    def _check_points(self, space: Space, rows: Iterable[Row]) -> None:
        """Check that each trial is in the space, also those that a study without one had."""
        for row in rows:
            trial = row.trial
            try:
                schema.check_point(space, trial)
            except SpaceError as error:
                if row.unfinished and row.state != WAITING:
                    # It was cut short before it had asked for everything, and starts again.
                    trial.replace({})
                elif row.state != TrialState.FAILED:
                    raise JournalError(
                        f"trial {trial.number} of the study in {self._path} is not in the "
                        f"space given: {error}. Give another space, or another name="
                    ) from None
            make_canonical(trial, space)

    # Writing.

    def _execute(self, statement: str, values: tuple[Any, ...]) -> int:
        """Run a statement, and return how many rows it changed."""
        assert self._connection is not None
        try:
            return self._connection.execute(statement, values).rowcount
        except sqlite3.Error as error:
            raise schema.unusable(self._path, error) from error

    def _write(self, statement: str, values: tuple[Any, ...]) -> None:
        """Run a statement that changes one row.

        Raises:
            JournalError: The row is gone.
        """
        if self._execute(statement, values) != 1:
            raise JournalError(self._gone())

    def _check_there(self, *, touched: bool = True) -> None:
        """Raise :class:`JournalError` if the file was deleted or replaced: SQLite cannot tell.

        Nor can it tell whether something else wrote to the file. That may be another study, which
        brings the log into the file; so it is looked into at the end.

        Args:
            touched: Whether something else wrote to the file if it was written.
        """
        found = _File.at(self._path)
        if found is None or self._file is None or found[:2] != self._file[:2]:
            raise JournalError(self._gone())
        if found != self._file:
            self._file = found
            self._touched |= touched

    def _checkpoint(self) -> None:
        assert self._connection is not None
        with schema.explained(self._path):
            schema.checkpoint(self._connection)
        self._check_there(touched=False)

    def _write_last(self, study: Study) -> None:
        assert self._connection is not None
        self._check_there()
        with schema.explained(self._path):
            if schema.changes_by_others(self._connection) != self._changes:
                self._touched = True
        # This process lives: the trials that it leaves behind did not take it down.
        for number in self._running:
            self._write(_NOT_DIED, (self._key, number))
        if study.chosen is not None:
            self._write(_CHOSEN, (self._chosen(study), self._key))

    def _chosen(self, study: Study) -> str | None:
        return None if study.chosen is None else dumps(list(study.chosen))

    def _check_kept(self, study: Study, *, whole: bool) -> None:
        """Raise :class:`JournalError` unless the closed file has the study and its trials.

        Another file that was copied over this one while it was open leaves the file in its place.

        Args:
            study: The study.
            whole: Whether to compare each trial too, since something else wrote to the file.
        """
        self._check_there()
        with schema.reading(self._path) as connection:
            entered = connection.execute(_ENTERED, (self._key,)).fetchone()
            started, told = connection.execute(_KEPT, (self._key,)).fetchone()
            if (
                entered is None
                or tuple(entered) != (*self._entered, self._chosen(study))
                or started < len(study.trials)
                # A trial that was interrupted last is told no more once it runs again.
                or (self._ended_here and told != self._told)
            ):
                raise JournalError(self._gone())
            if whole:
                row = schema.find_study(connection, study.name)
                assert row is not None
                self._check_same(study, schema.read_trials(self._path, connection, row))

    def _check_same(self, study: Study, rows: Sequence[Row]) -> None:
        """Raise :class:`JournalError` unless the rows are the trials that the study has."""
        ended = {row.trial.number: row.trial for row in rows if not row.unfinished}
        known = {trial.number: trial for trial in study.trials}
        differ = {
            number
            for number in ended.keys() & known.keys()
            if _text(ended[number]) != _text(known[number])
        }
        differ |= ended.keys() ^ known.keys()
        # Those that something enqueued while the search ran are in no file before they start.
        waiting = self._waiting & self._restorer.waiting.keys()
        differ |= waiting - {row.trial.number for row in rows}
        if differ:
            raise JournalError(
                f"the journal {self._path} was changed by something else while the search ran: "
                f"study {study.name!r}, trial {min(differ)} is not as the search wrote it"
            )

    def _gone(self) -> str:
        return (
            f"the journal {self._path} was deleted or replaced while the search ran; what was "
            "written since then is lost. Keep the file where it is"
        )

    def _write_suggested(self, trial: TrialRecord) -> None:
        """Write what a trial was given since the file last heard of it.

        In a define-by-run search that is more; a trial that was changed has as many as before.
        """
        if len(trial.params) != self._running.get(trial.number) or "changed_params" in trial.attrs:
            self._running[trial.number] = len(trial.params)
            drawn = {name: item.to_dict() for name, item in trial.distributions.items()}
            values = (encode(dict(trial.params)), encode(drawn), self._key, trial.number)
            self._write(_SUGGESTED, values)

    def _write_end(self, trial: TrialRecord) -> None:
        self._told += 1
        self._ended_here = True
        self._write(_END, (*_end_of(trial, self._told), self._key, trial.number))


class _File(NamedTuple):
    """Which file has the journal's name, and when it was last written, in nanoseconds."""

    device: int
    inode: int
    written: int
    changed: int

    @classmethod
    def at(cls, path: Path) -> _File | None:
        """Look at a file; return None if there is none."""
        try:
            found = os.stat(path)  # noqa: PTH116 - called for every trial
        except OSError:
            return None
        return cls(found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns)


def _text(trial: TrialRecord) -> str:
    """Return what a journal keeps of a trial that has ended."""
    return dumps({**record_to_dict(trial), "resume_from": None})


def _end_of(trial: TrialRecord, told: int) -> tuple[Any, ...]:
    """Return the columns that say how a trial ended."""
    return (
        *(str(trial.state), trial.ended, trial.duration, told),
        *(encode(trial.objectives), encode(dict(trial.derived)), encode(trial.attrs)),
        encode(trial.constraints),
        None if trial.error is None else encode(error_to_dict(trial.error)),
    )


def _differences(recorded: Study, given: Study, seed_given: bool) -> Iterator[str]:
    """Say in which ways a study is not the recorded one."""
    if recorded.directions != given.directions:
        yield f"its directions are {listed(recorded.directions)}, not {listed(given.directions)}"
    if seed_given and recorded.seed != given.seed:
        yield f"its seed is {recorded.seed}, not {given.seed}"
    kept = {threshold.metric: threshold for threshold in recorded.thresholds}
    asked = {threshold.metric: threshold for threshold in given.thresholds}
    for metric in {**kept, **asked} if kept and asked else ():
        if kept.get(metric) != asked.get(metric):
            bounds = (kept.get(metric, "anything"), asked.get(metric, "anything"))
            yield "metric {!r} has to be {}, not {}".format(metric, *bounds)
    if recorded.space is None or given.space is None:
        return
    before, now = recorded.space, given.space
    for name in {**before.parameters, **now.parameters}:
        if name not in now.parameters:
            yield f"its space has parameter {name!r}, and the given one does not"
        elif name not in before.parameters:
            yield f"its space has no parameter {name!r}, and the one given has"
        elif before.parameters[name] != now.parameters[name]:
            yield f"parameter {name!r} is {before.parameters[name]}, not {now.parameters[name]}"
        elif before.conditions.get(name) != now.conditions.get(name):
            yield f"parameter {name!r} has another condition than in the space given"
