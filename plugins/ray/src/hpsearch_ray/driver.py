"""The one writer of the history: it hears what workers report, and how Tune ended a trial."""

from __future__ import annotations

import contextlib
import math
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch.errors import HpsearchError, rebuilt
from hpsearch.execution.messages import answer
from hpsearch.study.outcome import Outcome, TrialState
from hpsearch.study.serial import loads, outcome_from_dict
from hpsearch_ray.broker import error_reply
from hpsearch_ray.metrics import MESSAGES, trial_id
from hpsearch_ray.placement import HOLDS, give_back
from hpsearch_ray.points import params_of
from hpsearch_ray.trainable import TrialFailed

if TYPE_CHECKING:
    from ray.tune.experiment import Trial as TuneTrial

    from hpsearch.execution.messages import Message
    from hpsearch.space.space import Space
    from hpsearch.study.record import TrialRecord
    from hpsearch.study.study import Study
    from hpsearch_ray.setup import TuneSetup


class Driver:
    """What Tune's hooks in this process share: the study, and its trials that run.

    Tune's thread and the broker's both call it, and take turns.

    Attributes:
        study: The study.
        space: Its space where Ray is the backend; None where it runs another one's trials, whose
            configs in Ray are their parameters as they are.
        live: The trials in Ray that have begun and have not ended, by id.
        error: What broke the search, if anything did; Tune is then stopped.
        interrupted: Whether Ctrl-C was pressed.
    """

    def __init__(self, study: Study, setup: TuneSetup) -> None:
        self.study = study
        self.space: Space | None = None if setup.proposals is None else study.space
        self.live: dict[str, TuneTrial] = {}
        self.error: Exception | None = None
        self.interrupted = False
        self._lock = threading.RLock()
        self._scheduler = setup.scheduler
        self._prefix = setup.prefix
        self._trials: dict[str, TrialRecord] = {}
        self._outcomes: dict[str, Outcome] = {}
        self._done_enough: set[str] = set()
        self._held: dict[str, str] = {}

    @property
    def over(self) -> bool:
        """Whether Tune is to stop at once."""
        return self.interrupted or self.error is not None

    def interrupt(self) -> None:
        """Stop Tune in order, for Ctrl-C was pressed."""
        self.interrupted = True

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """Take a turn; keep an error, which Tune would turn into a text, and stop Tune in order."""
        with self._lock:
            try:
                yield
            except Exception as error:  # noqa: BLE001 - it is raised when Tune has stopped
                self.fail(error)

    def fail(self, error: Exception) -> None:
        """Stop Tune in order, because of an error; the first one is raised then."""
        with self._lock:
            if self.error is None:
                self.error = error

    def name_of(self, trial: TrialRecord) -> str:
        """Return Ray's id for a trial."""
        return trial_id(self._prefix, trial.number)

    def started(self, trial: TrialRecord, tune_trial: TuneTrial) -> None:
        """Take note of a trial that was handed to Tune."""
        self._trials[tune_trial.trial_id] = trial
        self.live[tune_trial.trial_id] = tune_trial
        if self.space is not None:
            trial.native = tune_trial

    def asked(self, name: str, message: Message) -> Message:
        """Answer what a running trial asks."""
        with self.guarded():
            if message["call"] == HOLDS:
                self._hold(name, message["group"])
                return {"request": message.get("request"), "result": None}
            return answer(self.study.history, self._trials.get(name), message)
        return error_reply(message, HpsearchError("the search is over"))

    def changed(self, tune_trial: TuneTrial) -> None:
        """Record the parameters that a scheduler gave a trial, if it has new ones."""
        if self.space is None:
            return
        trial = self._trials[tune_trial.trial_id]
        params = params_of(self.space, tune_trial.config)
        if params != trial.params:
            self.study.history.change(trial, params)

    def hear(self, name: str, result: dict[str, Any]) -> bool:
        """Record what a worker said; return whether its trial is to be pruned."""
        said = result.pop(MESSAGES, None)  # Nobody else need see it.
        return said is not None and name in self._trials and self._hear(name, said)

    def has_done_enough(self, name: str) -> None:
        """Take note that a trial met the user's criterion for its end."""
        self._done_enough.add(name)

    def saved(self, tune_trial: TuneTrial, path: str) -> None:
        """Record where Ray keeps a trial's latest checkpoint."""
        trial = self._trials.get(tune_trial.trial_id)
        if trial is not None:
            self.study.history.annotate(trial, "checkpoint", path)

    def ended(self, tune_trial: TuneTrial) -> None:
        """Tell the history how a trial ended: by itself, or stopped by Tune."""
        name = tune_trial.trial_id
        trial = self._trials.get(name)
        if trial is not None:
            if name not in self._outcomes:
                self._outcomes[name] = self._stopped(trial, tune_trial)
            self._tell(name)

    def failed(self, tune_trial: TuneTrial) -> None:
        """Tell the history that a trial failed, or that its worker died."""
        name = tune_trial.trial_id
        if name not in self._trials:
            return
        error = _error_of(tune_trial)
        if isinstance(error, TrialFailed):
            self._hear(name, str(error))
        else:
            self._outcomes[name] = Outcome.failed(error)
        self._tell(name)

    def settle(self) -> None:
        """Tell the history of trials that Tune gave up without a word: their worker was stuck."""
        for tune_trial in list(self.live.values()):
            if tune_trial.status == "ERROR":
                self.failed(tune_trial)

    def release(self) -> None:
        """Give back what the workers of trials hold that Tune stopped at once."""
        with self._lock:
            for group in self._held.values():
                give_back(group)
            self._held.clear()

    def end(self) -> None:
        """Tell the history that Tune's time was over for the trials that still ran."""
        for name in list(self._trials):
            self._outcomes[name] = Outcome(TrialState.PRUNED)
            self._tell(name)

    def _hold(self, name: str, group: str) -> None:
        """Keep what the workers of a trial hold until it ends; it may have ended meanwhile."""
        if name in self._trials:
            self._held[name] = group
        else:
            give_back(group)

    def _hear(self, name: str, text: str) -> bool:
        trial, stop = self._trials[name], False
        for message in loads(text):
            if "outcome" in message:
                self._outcomes.setdefault(name, outcome_from_dict(message["outcome"]))
                continue
            reply = answer(self.study.history, trial, message)
            if "error" in reply:
                error = rebuilt(reply["error"]["type"], reply["error"]["message"])
                self._outcomes.setdefault(name, Outcome.failed(error))
                stop = True
            elif message["call"] == "report":
                stop = stop or reply["result"]
        return stop

    def _tell(self, name: str) -> None:
        del self.live[name]
        if name in self._held:
            give_back(self._held.pop(name))
        self.study.history.tell(self._trials.pop(name), self._outcomes.pop(name))

    def _stopped(self, trial: TrialRecord, tune_trial: TuneTrial) -> Outcome:
        """Say how a trial ended that Tune stopped: complete if it had all the time it may have."""
        if tune_trial.trial_id in self._done_enough or self._spent(tune_trial.last_result):
            last = trial.intermediate[max(trial.intermediate)] if trial.intermediate else ()
            if last and all(math.isfinite(value) for value in last):
                return Outcome(TrialState.COMPLETE, last)
        return Outcome(TrialState.PRUNED)

    def _spent(self, result: dict[str, Any]) -> bool:
        # ASHA and HyperBand stop the best trials too, when they have reached max_t.
        for attribute in ("_max_t", "_max_t_attr"):
            most = getattr(self._scheduler, attribute, None)
            if most is not None:
                spent: bool = result.get(self._scheduler._time_attr, 0) >= most
                return spent
        return False


def _error_of(tune_trial: TuneTrial) -> Exception:
    """Return the exception that ended a trial in Ray: what the worker raised, or Ray's own."""
    path = tune_trial.pickled_error_file
    if path is None:
        text = Path(tune_trial.error_file).read_text(encoding="utf-8")
        return HpsearchError(f"Ray gave the trial up: {text.strip().splitlines()[-1]}")
    error: Exception = pickle.loads(Path(path).read_bytes())  # noqa: S301 - this process wrote it
    cause = getattr(error, "cause", None)
    return cause if isinstance(cause, Exception) else error
