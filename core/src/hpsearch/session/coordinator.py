"""The one way into a study's records: everything that happens to a trial happens here, in order.

Whatever runs the trials (the core's loop, Ray Tune, a W&B agent) calls :meth:`Coordinator.ask` or
:meth:`Coordinator.begin`, and :meth:`Coordinator.tell`; running trials reach the rest through
their channel. Each call writes the record once and then fires the hooks: journal, backend, pruner,
observers.
"""

from __future__ import annotations

import bisect
import logging
import math
import os
import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from hpsearch.errors import (
    ArgumentError,
    BackendError,
    HpsearchError,
    ObjectiveError,
    SpaceError,
    listed,
    nearest,
)
from hpsearch.plugins.backend import EXHAUSTED
from hpsearch.plugins.hooks import Role
from hpsearch.session.checks import check_fixed, check_suggested, read_enqueued
from hpsearch.session.failures import FailureLog
from hpsearch.session.local import LocalChannel
from hpsearch.session.queue import Queue, Waiting
from hpsearch.study.control import Control
from hpsearch.study.outcome import INTERRUPTED, Outcome, TrialError, TrialState
from hpsearch.study.record import TrialRecord
from hpsearch.study.serial import plain

if TYPE_CHECKING:
    from hpsearch.plugins.hooks import Hooks
    from hpsearch.session.failures import FailurePolicy
    from hpsearch.space.distributions import Distribution
    from hpsearch.study.channel import Channel
    from hpsearch.study.study import Study


logger = logging.getLogger("hpsearch")


class Coordinator(Control):
    """Writes the records of a running study, and says what may still start.

    The methods that :class:`~hpsearch.study.control.Control` lists are documented there.

    Args:
        study: The study. Nobody else changes its list of records.
        hooks: The plugins of the search.
        policy: Judges failures.
        label: How errors name the backend.
        retries: How often a failed trial runs again.
        derives: Whether the user's space function derives values from the space's.

    Attributes:
        failure: Why the failure policy or a trial ended the search, and the outcome for which it
            did; None while neither has.
    """

    def __init__(
        self,
        study: Study,
        hooks: Hooks,
        policy: FailurePolicy,
        label: str,
        *,
        retries: int = 0,
        derives: bool = False,
    ) -> None:
        self.failure: tuple[str, Outcome] | None = None
        self._study = study
        self._trials = cast("list[TrialRecord]", study.trials)
        self._hooks = hooks
        self._policy = policy
        self._label = label
        self._retries = retries
        self._derives = derives
        self._alone = _Alone(study)
        self._fatal = _Fatal()
        self._queue = Queue()
        self._running: dict[int, TrialRecord] = {}
        self._begun: dict[int, float] = {}
        self._superseded = 0
        self._next_number = 0
        self._stop_reason: str | None = None
        self._deadline = None if study.timeout is None else time.monotonic() + study.timeout
        self._log = FailureLog()

    # What the session alone calls.

    def restore(self, ended: Sequence[TrialRecord], unfinished: Sequence[TrialRecord]) -> None:
        """Take over the trials of an earlier run.

        Args:
            ended: Those that ended, in the order in which they did; failures are judged in it.
            unfinished: Those that run again, by number; one that was enqueued runs once.
        """
        self._trials.extend(ended)
        self._trials.sort(key=lambda trial: trial.number)
        earlier = (*ended, *unfinished)
        self._next_number = 1 + max((trial.number for trial in earlier), default=-1)
        retried = {trial.retry_of for trial in earlier} - {None}
        self._superseded = len(retried)
        enqueued = self._queue.restore(ended, unfinished)
        for params in enqueued:
            self.enqueue(params)
        if enqueued and self.remaining is not None and len(self._queue) > self.remaining:
            left = max(self.remaining, 0)
            raise ArgumentError(
                f"{len(enqueued)} trials are enqueued that the study does not have, and {left} of "
                f"n_trials={self._study.n_trials} are left; raise n_trials"
            )
        for trial in ended:
            if trial.number not in retried and not self._retry(trial):
                self._policy.judge(trial)

    def replay(self) -> None:
        """Tell the backend and the pruner every trial that ended in an earlier run."""
        for trial in self._trials:
            if trial.ended_well and self._constrain(trial):
                self._hooks.each("hpsearch_amend", study=self._study, trial=trial)
            self._hooks.each("hpsearch_tell", Role.BACKEND, study=self._study, trial=trial)
            self._hooks.each("hpsearch_tell", Role.PRUNER, study=self._study, trial=trial)

    def finish(self) -> None:
        """Raise what broke the search while a trial was talking to it, if anything did.

        Such an error passes through the objective, which may have taken it for its own.
        """
        if self._fatal.error is not None:
            raise self._fatal.error

    def interrupt(self, error: BaseException) -> None:
        """End every running trial as failed by what ended the search.

        A resumed search runs them again. They are told to everyone after Ctrl-C, and to nobody
        after an ``Exception``: then a plugin is broken, and their rows stay as a kill leaves them.
        """
        with self._alone:
            self.request_stop(f"interrupted by {type(error).__name__}")
            for trial in list(self._running.values()):
                described = TrialError.of(error)
                text = f"{described.type}: {described.message}"
                self._end(trial, Outcome(TrialState.FAILED, error=TrialError(INTERRUPTED, text)))
                if not isinstance(error, Exception):
                    self._hooks.each("hpsearch_tell", study=self._study, trial=trial)
                trial.native = None

    # Which trials there will be.

    @property
    def study(self) -> Study:
        return self._study

    @property
    def stop_reason(self) -> str | None:
        if self._stop_reason is None and self._fatal.error is not None:
            return str(self._fatal.error)
        return self._stop_reason

    @property
    def broken(self) -> Exception | None:
        return self._fatal.error

    @property
    def remaining(self) -> int | None:
        if self._study.n_trials is None:
            return None
        return self._study.n_trials - (len(self._trials) - self._superseded)

    @property
    def waiting(self) -> Mapping[int, Mapping[str, Any]]:
        return self._queue.numbered

    @property
    def has_waiting(self) -> bool:
        return bool(self._queue)

    @property
    def next_number(self) -> int:
        return self._next_number

    def may_start(self) -> bool:
        if self.stop_reason is not None:
            return False
        if self._deadline is not None and time.monotonic() >= self._deadline:
            self._stop_reason = f"the timeout of {self._study.timeout} s was reached"
            return False
        remaining = self.remaining
        return remaining is None or remaining > 0

    def request_stop(self, reason: str) -> None:
        if self._stop_reason is None:
            self._stop_reason = reason

    def enqueue(self, params: object) -> None:
        with self._alone:
            # The number is settled now, so that a journal can keep the trial before it starts.
            known = read_enqueued(params, self._study.space, derives=self._derives)
            self._queue.enqueue(known, self._next_number)
            self._next_number += 1

    def adopt(self, trials: Sequence[TrialRecord]) -> None:
        with self._alone:
            if self._trials:
                raise HpsearchError(f"study {self._study.name!r} has trials already")
            self.restore(trials, [])

    # Starting a trial.

    def ask(self) -> TrialRecord | None:
        with self._alone:
            if not self.may_start():
                return None
            waiting = self._queue.next()
            trial = self._new_trial(waiting)
            with self._fatal:
                space = self._study.space
                if waiting is not None and waiting.params and space is not None:
                    params = {n: v for n, v in waiting.params.items() if n in space.parameters}
                    trial.replace(space.validate(params))
                else:
                    answer = self._hooks.first("hpsearch_suggest", study=self._study, trial=trial)
                    if answer is EXHAUSTED:
                        self._check_exhaustible()
                        self.request_stop(f"{self._label} has nothing left to try")
                        return None
                    trial.replace(self._checked(answer))
                return self._start(trial)

    def begin(self, params: Mapping[str, Any], *, id: str | None = None) -> TrialRecord:
        with self._alone, self._fatal:
            if self.remaining is not None and self.remaining <= 0:
                raise BackendError(
                    f"{self._label} began a trial more than the {self._study.n_trials} of n_trials"
                )
            trial = self._new_trial(None)
            trial.replace(self._checked(params))
            if id is not None:
                trial.id = id
            return self._start(trial)

    def channel(self, trial: TrialRecord) -> Channel:
        return LocalChannel(self, trial)

    # While a trial runs.

    def report(self, trial: TrialRecord, step: int, values: tuple[float, ...]) -> bool:
        """Record an intermediate result; return whether anyone wants the trial pruned."""
        with self._alone:
            self._check_running(trial)
            directions = len(self._study.directions)
            if len(values) != directions:
                raise ArgumentError(
                    f"trial {trial.number} reported {len(values)} values at step {step}, and the "
                    f"study has {directions} direction{'s' if directions > 1 else ''}"
                )
            if step in trial.intermediate:
                return False
            trial.report(step, values)
            with self._fatal:
                answers = self._hooks.each(
                    "hpsearch_report", study=self._study, trial=trial, step=step, values=values
                )
            return True in answers

    def suggest(self, trial: TrialRecord, name: str, distribution: Distribution) -> Any:
        """Answer a running trial that asks for a parameter."""
        with self._alone:
            self._check_running(trial)
            space = self._study.space
            known = trial.distributions if space is None else space.parameters
            if name in trial.params and name in known:
                if known[name] != distribution:
                    raise SpaceError(
                        f"parameter {name!r} was {known[name]} and is now {distribution}; one name "
                        "has one distribution"
                    )
                return trial.params[name]
            if space is not None:
                raise SpaceError(
                    f"parameter {name!r} was asked for while the trial runs, and was not when the "
                    f"space was read; {self._label} needs every parameter beforehand"
                )
            with self._fatal:
                check_fixed(trial, name, distribution)
                return self._suggest_parameter(trial, name, distribution)

    def derive(self, trial: TrialRecord, values: Mapping[str, Any]) -> None:
        """Record what the space function returned beyond the searched parameters."""
        with self._alone:
            self._check_running(trial)
            trial.derive(plain("the space function returned", values))

    def constrain(self, trial: TrialRecord, name: str, value: float) -> None:
        """Record the value of a constraint."""
        with self._alone:
            self._check_running(trial)
            trial.constrain(name, value)

    def change(self, trial: TrialRecord, params: Mapping[str, Any]) -> None:
        with self._alone:
            self._check_running(trial)
            now = self._checked(params)
            if now == trial.params:
                return
            before = {"params": dict(trial.params), "step": max(trial.intermediate, default=None)}
            trial.annotate("changed_params", [*trial.attrs.get("changed_params", []), before])
            trial.replace(now)
            if self._study.space is not None:
                trial.derive({**trial.derived, **self._study.space.nested(now)})

    def annotate(self, trial: TrialRecord, name: str, value: Any) -> None:
        fact = _fact(name, value)
        with self._alone:
            self._check_running(trial)
            trial.annotate(name, fact)

    # Ending a trial, and afterwards.

    def tell(self, trial: TrialRecord, outcome: Outcome) -> None:
        with self._alone:
            self._check_running(trial)
            self.finish()
            with self._fatal:
                outcome = self._checked_outcome(trial, outcome)
                self._end(trial, outcome)
                if trial.ended_well:
                    self._constrain(trial)
                raised = outcome.aborts and self.failure is None  # by the search, when it ends
                if trial.state is TrialState.FAILED and not raised:
                    self._log.show(trial)
                self._hooks.each("hpsearch_tell", study=self._study, trial=trial)
            trial.native = None
            if outcome.aborts:
                self._fail(outcome, f"trial {trial.number} cannot run: {outcome.error}")
            elif not self._retry(trial):
                failure = self._policy.judge(trial)
                if failure is not None:
                    self._fail(outcome, failure)

    def amend(self, trial: TrialRecord, facts: Mapping[str, Any]) -> None:
        known = {name: _fact(name, value) for name, value in facts.items()}
        with self._alone:
            changed = {name: fact for name, fact in known.items() if _differs(trial, name, fact)}
            for name, fact in changed.items():
                trial.annotate(name, fact)
            if changed and trial.number not in self._running:
                with self._fatal:
                    self._hooks.each("hpsearch_amend", study=self._study, trial=trial)

    # Inside.

    def _check_running(self, trial: TrialRecord) -> None:
        if self._running.get(trial.number) is not trial:
            raise HpsearchError(
                f"trial {trial.number} is not running: it has ended, and a trial is told once"
            )

    def _new_trial(self, waiting: Waiting | None) -> TrialRecord:
        number = self._next_number if waiting is None or waiting.number is None else waiting.number
        return TrialRecord(
            number,
            study_seed=self._study.seed,
            fixed=waiting.params if waiting else None,
            retry_of=waiting.retry_of if waiting else None,
            started=time.time(),
        )

    def _start(self, trial: TrialRecord) -> TrialRecord:
        if trial.number == self._next_number:
            self._next_number += 1
            self._trials.append(trial)
        else:
            bisect.insort(self._trials, trial, key=lambda item: item.number)
        self._running[trial.number] = trial
        self._begun[trial.number] = time.monotonic()
        self._hooks.each("hpsearch_start", study=self._study, trial=trial)
        return trial

    def _end(self, trial: TrialRecord, outcome: Outcome) -> None:
        del self._running[trial.number]
        trial.end(outcome, time.time(), time.monotonic() - self._begun.pop(trial.number))

    def _check_exhaustible(self) -> None:
        # A backend may also find, while it is asked, that the search is over.
        if not self._study.capabilities.exhaustible and self.may_start():
            raise BackendError(
                f"{self._label} answered EXHAUSTED in hpsearch_suggest, and does not declare the "
                "capability 'exhaustible'"
            )

    def _checked(self, answer: Any) -> dict[str, Any]:
        space = self._study.space
        if not isinstance(answer, Mapping):
            raise BackendError(
                f"{self._label} answered {answer!r} in hpsearch_suggest, expected a mapping of "
                "names to values or EXHAUSTED"
            )
        if space is None:
            if answer:
                raise BackendError(
                    f"{self._label} suggested {dict(answer)!r} in a define-by-run search, "
                    "expected nothing before the trial asks"
                )
            return {}
        try:
            return space.validate(answer)
        except SpaceError as error:
            raise BackendError(
                f"{self._label} suggested parameters that are not in the space: {error}"
            ) from error

    def _suggest_parameter(self, trial: TrialRecord, name: str, distribution: Distribution) -> Any:
        answer = self._hooks.first(
            "hpsearch_suggest_parameter",
            study=self._study,
            trial=trial,
            name=name,
            distribution=distribution,
        )
        value = check_suggested(self._label, trial, name, distribution, answer)
        trial.suggest(name, value, distribution)
        return value

    def _checked_outcome(self, trial: TrialRecord, outcome: Outcome) -> Outcome:
        """Return the outcome, or a refusal of a trial that left out what the search needs."""
        self._check_outcome(trial, outcome)
        if outcome.state is not TrialState.COMPLETE:  # it may have ended before it came to that
            return outcome
        refusal = self._unasked(trial) or self._unsaid(trial)
        return outcome if refusal is None else Outcome.aborted(refusal)

    def _unasked(self, trial: TrialRecord) -> SpaceError | None:
        """Return an error if a trial did not ask for what was enqueued."""
        if not trial.fixed or trial.retry_of is not None:
            return None
        unasked = trial.fixed.keys() - trial.params.keys() - trial.derived.keys()
        if not unasked:
            return None
        name = min(unasked)
        return SpaceError(
            f"parameter {name!r} is set beforehand, and the trial did not ask for it."
            f"{nearest(name, trial.params)} It asked for {listed(trial.params)}"
        )

    def _unsaid(self, trial: TrialRecord) -> ObjectiveError | None:
        """Return an error if no trial ever said a metric that has a threshold; else log it."""
        for metric in (item.metric for item in self._study.thresholds if item.objective is None):
            if metric in trial.constraints or trial.says(metric):
                continue
            problem = (
                f"trial {trial.number} says nothing of {metric!r}, which has a threshold; write "
                f"trial.annotate({metric!r}, value) with a finite number in the objective"
            )
            if not any(other.says(metric) for other in self._trials):
                return ObjectiveError(problem)
            logger.warning("%s. The trial counts as beyond the threshold", problem)
        return None

    def _check_outcome(self, trial: TrialRecord, outcome: Outcome) -> None:
        """Raise :class:`BackendError` if whoever ran a trial tells what no evaluation returns."""
        state, values = outcome.state, outcome.objectives or ()
        directions = len(self._study.directions)
        expected = directions if state is TrialState.COMPLETE else 0
        if state is TrialState.RUNNING:
            problem = "as running, expected complete, pruned or failed"
        elif len(values) != expected:
            problem = (
                f"as {state} with {len(values)} objective values, expected {expected}; the "
                f"study has {directions} direction{'s' if directions > 1 else ''}"
            )
        elif not all(map(math.isfinite, values)):
            problem = f"with the objectives {values}, expected finite numbers"
        else:
            return
        raise BackendError(f"trial {trial.number} was told {problem}")

    def _constrain(self, trial: TrialRecord) -> bool:
        """Record what thresholds and the backend say of a trial; return whether that is more."""
        known = len(trial.constraints)
        # Thresholds come first: the backend's engine may be told of the trial when it is asked.
        for threshold in self._study.thresholds:
            if threshold.metric not in trial.constraints:
                trial.constrain(threshold.metric, trial.beyond(threshold))
        said = self._hooks.first("hpsearch_constrain", study=self._study, trial=trial) or {}
        for name, value in said.items():
            if name not in trial.constraints:
                trial.constrain(name, float(value))
        return len(trial.constraints) > known

    def _fail(self, outcome: Outcome, why: str) -> None:
        if self.failure is None:
            self.failure = (why, outcome)
            self._stop_reason = why

    def _retry(self, trial: TrialRecord) -> bool:
        """Let a failed trial run again, if it has retries left; it then no longer counts."""
        if trial.state is not TrialState.FAILED or not self._retries:
            return False
        tries = 0
        link: TrialRecord | None = trial
        while link is not None and link.retry_of is not None:
            link = self._by_number(link.retry_of)
            tries += 1
        if tries >= self._retries:
            return False
        self._queue.retry(trial)
        self._superseded += 1
        return True

    def _by_number(self, number: int) -> TrialRecord | None:
        trials = self._trials
        index = bisect.bisect_left(trials, number, key=lambda trial: trial.number)
        return trials[index] if index < len(trials) and trials[index].number == number else None


class _Alone:
    """Lets one thread in at a time, and nobody from a forked process."""

    __slots__ = ("_lock", "_process", "_study")

    def __init__(self, study: Study) -> None:
        self._study = study
        self._process = os.getpid()
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        if os.getpid() != self._process:
            raise HpsearchError(
                f"study {self._study.name!r} is searched by process {self._process}; process "
                f"{os.getpid()}, which was forked from it, cannot take part"
            )
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


class _Fatal:
    """Remembers the first error of a plugin: the search ends, whoever catches it on its way.

    Attributes:
        error: That error, None while there is none.
    """

    __slots__ = ("error",)

    def __init__(self) -> None:
        self.error: Exception | None = None

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if self.error is None and isinstance(error, Exception):
            self.error = error


def _fact(name: object, value: object) -> Any:
    if not isinstance(name, str):
        raise ArgumentError(f"the name of a fact is {name!r}, expected a text")
    return plain(f"the fact {name!r} is", value)


def _differs(trial: TrialRecord, name: str, fact: Any) -> bool:
    return name not in trial.attrs or trial.attrs[name] != fact
