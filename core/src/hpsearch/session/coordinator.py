"""The one way into a study's trials: everything that happens to a trial happens here, in order.

Whatever runs the trials (the core's loop, Ray Tune, a W&B agent) calls :meth:`History.ask` or
:meth:`History.begin`, and :meth:`History.tell`; running trials reach the rest through their
channel. Each call changes the trial first and then fires the hooks: journal, backend, pruner,
observers.
"""

from __future__ import annotations

import bisect
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpsearch.errors import ArgumentError, BackendError, HpsearchError, SpaceError
from hpsearch.execution.evaluate import Outcome
from hpsearch.plugins.backend import EXHAUSTED
from hpsearch.plugins.hooks import Role
from hpsearch.session.checks import check_enqueued, check_fixed, check_json, check_suggested
from hpsearch.session.failures import FailureLog
from hpsearch.study.channel import LocalChannel
from hpsearch.study.trial import Trial, TrialError, TrialState

if TYPE_CHECKING:
    from hpsearch.plugins.hooks import Hooks
    from hpsearch.session.failures import FailurePolicy
    from hpsearch.space.distributions import Distribution
    from hpsearch.study.channel import Channel
    from hpsearch.study.study import Study


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A trial that will run with parameters known beforehand."""

    params: Mapping[str, Any]
    number: int | None = None
    retry_of: int | None = None


class History:
    """The trials of a running study, and what may still start.

    Safe to call from several threads. ``stop_reason`` says why no further trial starts, None while
    they may.
    """

    def __init__(
        self, study: Study, hooks: Hooks, policy: FailurePolicy, label: str, retries: int = 0
    ) -> None:
        self.study = study
        self.stop_reason: str | None = None
        self.failure: str | None = None
        self.failure_cause: BaseException | None = None
        self._hooks = hooks
        self._policy = policy
        self._label = label
        self._retries = retries
        self._lock = threading.RLock()
        self._waiting: deque[_Waiting] = deque()
        self._running: dict[int, Trial] = {}
        self._superseded = 0
        self._next_number = 0
        self._deadline = None if study.timeout is None else time.monotonic() + study.timeout
        self._log = FailureLog()
        self._broken: Exception | None = None

    # Before the first trial.

    def restore(self, ended: Sequence[Trial], unfinished: Sequence[Trial]) -> None:
        """Take over earlier trials; unfinished ones run again by number, enqueued ones once."""
        self.study._trials.extend(ended)
        self.study._trials.sort(key=lambda trial: trial.number)
        self._next_number = 1 + max((t.number for t in (*ended, *unfinished)), default=-1)
        retried = {trial.retry_of for trial in (*ended, *unfinished)} - {None}
        self._superseded = len(retried)
        enqueued = self._waiting
        self._waiting = deque(_Waiting(t.params, t.number, t.retry_of) for t in unfinished)
        known = [t.fixed for t in (*ended, *unfinished) if t.fixed and t.retry_of is None]
        for waiting in enqueued:
            if waiting.params in known:
                known.remove(waiting.params)
            else:
                self.enqueue(waiting.params)
        for trial in ended:
            if trial.number not in retried and not self._retry(trial):
                self._policy.judge(trial)

    def replay(self) -> None:
        """Tell the backend and the pruner every trial that ended in an earlier run."""
        for trial in self.study.trials:
            self._hooks.each("hpsearch_tell", Role.BACKEND, study=self.study, trial=trial)
            self._hooks.each("hpsearch_tell", Role.PRUNER, study=self.study, trial=trial)

    def enqueue(self, params: Mapping[str, Any]) -> None:
        """Run a trial with these parameters, or an earlier trial's, before anything is suggested.

        Raises:
            SpaceError: They are not a point of the study's space.
            ArgumentError: They are no mapping, or no JSON.
        """
        # The number is settled now, so that a journal can keep the trial before it starts.
        known = check_enqueued(params, self.study.space)
        self._waiting.append(_Waiting(known, self._next_number))
        self._next_number += 1

    @property
    def waiting(self) -> dict[int, Mapping[str, Any]]:
        """What is enqueued or unfinished and has not started: parameters by trial number."""
        return {item.number: item.params for item in self._waiting if item.number is not None}

    # Starting a trial.

    @property
    def remaining(self) -> int | None:
        """How many trials of the total have not started, None without a total."""
        if self.study.n_trials is None:
            return None
        return self.study.n_trials - (len(self.study.trials) - self._superseded)

    def may_start(self) -> bool:
        """Whether another trial may start now."""
        if self.stop_reason is not None:
            return False
        if self._deadline is not None and time.monotonic() >= self._deadline:
            self.stop_reason = f"the timeout of {self.study.timeout} s was reached"
            return False
        remaining = self.remaining
        return remaining is None or remaining > 0

    def ask(self) -> Trial | None:
        """Start the next trial: a waiting one, else one that the backend suggests.

        Returns:
            The running trial; None when the backend has nothing left to try.

        Raises:
            BackendError: The backend gave no answer, or one that is no point of the space.
        """
        with self._lock:
            waiting = self._waiting.popleft() if self._waiting else None
            trial = self._new_trial(waiting)
            if waiting is not None and waiting.params and self.study.space is not None:
                trial._params.update(self.study.space.validate(waiting.params))
            else:
                answer = self._hooks.first("hpsearch_suggest", study=self.study, trial=trial)
                if answer is EXHAUSTED:
                    self.stop_reason = f"{self._label} has nothing left to try"
                    return None
                trial._params.update(self._checked(answer))
            return self._start(trial)

    def begin(self, params: Mapping[str, Any], *, id: str | None = None) -> Trial:
        """Start a trial whose parameters the engine has chosen itself.

        Args:
            params: A point of the study's space.
            id: The engine's own name for the trial, unique in the study.

        Raises:
            BackendError: The parameters are no point of the space.
        """
        with self._lock:
            trial = self._new_trial(None)
            trial._params.update(self._checked(params))
            if id is not None:
                trial.id = id
            return self._start(trial)

    def channel(self, trial: Trial) -> Channel:
        """Return the channel for a trial that runs in this process."""
        return LocalChannel(self, trial)

    # While a trial runs.

    def report(self, trial: Trial, step: int, values: tuple[float, ...]) -> bool:
        """Record an intermediate result; return whether anyone wants the trial pruned."""
        with self._lock:
            directions = len(self.study.directions)
            if len(values) != directions:
                raise ArgumentError(
                    f"trial {trial.number} reported {len(values)} values at step {step}, and the "
                    f"study has {directions} direction{'s' if directions > 1 else ''}"
                )
            trial.intermediate[step] = values
            with self._fatal():
                answers = self._hooks.each(
                    "hpsearch_report", study=self.study, trial=trial, step=step, values=values
                )
            return True in answers

    def suggest(self, trial: Trial, name: str, distribution: Distribution) -> Any:
        """Answer a running trial that asks for a parameter."""
        with self._lock:
            space = self.study.space
            known = trial.distributions if space is None else space.parameters
            if name in trial._params and name in known:
                if known[name] != distribution:
                    raise SpaceError(
                        f"parameter {name!r} was {known[name]} and is now {distribution}; one name "
                        "has one distribution"
                    )
                return trial._params[name]
            if space is not None:
                raise SpaceError(
                    f"parameter {name!r} was asked for while the trial runs, and was not when the "
                    f"space was read; {self._label} needs every parameter beforehand"
                )
            with self._fatal():
                return self._suggest_parameter(trial, name, distribution)

    def derive(self, trial: Trial, values: Mapping[str, Any]) -> None:
        """Record what the space function returned beyond the searched parameters."""
        with self._lock:
            check_json("the space function returned", values)
            trial._derive(values)

    def change(self, trial: Trial, params: Mapping[str, Any]) -> None:
        """Give a running trial other parameters, as population-based training does.

        What they were, and up to which step, is kept in ``trial.attrs["changed_params"]``.

        Raises:
            BackendError: The parameters are no point of the space.
        """
        with self._lock:
            now = self._checked(params)
            if now == trial._params:
                return
            before = {"params": dict(trial._params), "step": max(trial.intermediate, default=None)}
            trial.attrs.setdefault("changed_params", []).append(before)
            trial._params.clear()
            trial._params.update(now)
            if self.study.space is not None:
                trial._derive({**trial._derived, **self.study.space.nested(now)})

    def annotate(self, trial: Trial, name: str, value: Any) -> None:
        """Keep a JSON fact with a running trial."""
        with self._lock:
            check_json(f"the fact {name!r} is", value)
            trial.attrs[name] = value

    def request_stop(self, reason: str) -> None:
        """Start no more trials; the running ones go on to their end."""
        if self.stop_reason is None:
            self.stop_reason = reason

    # Ending a trial.

    def tell(self, trial: Trial, outcome: Outcome) -> None:
        """Record how a trial ended, tell everyone, and judge whether the search goes on.

        Raises:
            HpsearchError: The trial is not running: it was told before.
        """
        with self._lock:
            if self._running.pop(trial.number, None) is not trial:
                raise HpsearchError(f"trial {trial.number} is not running; a trial is told once")
            trial.state = outcome.state
            trial.objectives = outcome.objectives
            trial.error = outcome.error
            trial.ended = time.time()
            if trial.state is TrialState.FAILED:
                self._log.show(trial)
            self._hooks.each("hpsearch_tell", study=self.study, trial=trial)
            trial.native = None
            if self._retry(trial):
                return
            failure = self._policy.judge(trial)
            if failure is not None and self.failure is None:
                self.failure = failure
                self.failure_cause = outcome.exception
                self.stop_reason = failure

    def interrupt(self, error: BaseException) -> None:
        """End every running trial as failed by what ended the search.

        A resumed search runs them again. They are told to everyone after Ctrl-C, and to nobody
        after an ``Exception``: then a plugin is broken, and their rows stay as a kill leaves them.
        """
        with self._lock:
            self.request_stop(f"interrupted by {type(error).__name__}")
            for trial in list(self._running.values()):
                del self._running[trial.number]
                trial.state = TrialState.FAILED
                trial.error = TrialError(INTERRUPTED, f"{type(error).__name__}: {error}")
                trial.ended = time.time()
                if not isinstance(error, Exception):
                    self._hooks.each("hpsearch_tell", study=self.study, trial=trial)
                trial.native = None

    def raise_broken(self) -> None:
        """Raise what broke the search while a trial was talking to it, if anything did.

        Such an error passes through the objective, which may have taken it for its own.
        """
        if self._broken is not None:
            raise self._broken

    # Inside.

    @contextmanager
    def _fatal(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._broken = error
            self.request_stop(str(error))
            raise

    def _new_trial(self, waiting: _Waiting | None) -> Trial:
        number = self._next_number if waiting is None or waiting.number is None else waiting.number
        return Trial(
            number,
            study_seed=self.study.seed,
            fixed=waiting.params if waiting else None,
            retry_of=waiting.retry_of if waiting else None,
            started=time.time(),
        )

    def _start(self, trial: Trial) -> Trial:
        if trial.number == self._next_number:
            self._next_number += 1
            self.study._trials.append(trial)
        else:
            bisect.insort(self.study._trials, trial, key=lambda item: item.number)
        self._running[trial.number] = trial
        self._hooks.each("hpsearch_start", study=self.study, trial=trial)
        return trial

    def _checked(self, answer: Any) -> dict[str, Any]:
        space = self.study.space
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

    def _suggest_parameter(self, trial: Trial, name: str, distribution: Distribution) -> Any:
        check_fixed(trial, name, distribution)
        answer = self._hooks.first(
            "hpsearch_suggest_parameter",
            study=self.study,
            trial=trial,
            name=name,
            distribution=distribution,
        )
        value = check_suggested(self._label, trial, name, distribution, answer)
        trial._params[name] = value
        trial.distributions[name] = distribution
        return value

    def _retry(self, trial: Trial) -> bool:
        """Let a failed trial run again, if it has retries left; it then no longer counts."""
        if trial.state is not TrialState.FAILED or not self._retries:
            return False
        tries = 0
        link: Trial | None = trial
        while link is not None and link.retry_of is not None:
            link = self._by_number(link.retry_of)
            tries += 1
        if tries >= self._retries:
            return False
        self._waiting.appendleft(_Waiting(trial.params, retry_of=trial.number))
        self._superseded += 1
        return True

    def _by_number(self, number: int) -> Trial | None:
        trials = self.study._trials
        index = bisect.bisect_left(trials, number, key=lambda trial: trial.number)
        return trials[index] if index < len(trials) and trials[index].number == number else None


INTERRUPTED = "Interrupted"
"""The error type of a trial that ended because its search was interrupted."""
