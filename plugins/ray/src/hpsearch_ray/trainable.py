"""What runs in a worker process: one trial after the other, from an evaluation that came once."""

from __future__ import annotations

import contextlib
import math
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray import tune

from hpsearch.errors import ArgumentError, HpsearchError, SpaceError, TrialPruned
from hpsearch.execution.forks import refuse_forked, run_in_this_process
from hpsearch.study.channel import Channel
from hpsearch.study.outcome import TrialState
from hpsearch.study.record import TrialRecord
from hpsearch.study.serial import dumps, outcome_to_dict, payload_of, plain
from hpsearch_ray.broker import asking
from hpsearch_ray.group import Group, run_together
from hpsearch_ray.metrics import MESSAGES, STEP, as_metrics, number_of
from hpsearch_ray.object_ref import received
from hpsearch_ray.points import params_of

if TYPE_CHECKING:
    from hpsearch.execution.messages import Message
    from hpsearch.space.distributions import Distribution
    from hpsearch.space.space import Space
    from hpsearch.study.outcome import Outcome

CLEANUP_SECONDS = 3600
"""How long a worker waits for a trial that was stopped to clean up, before it is given up."""


class TrialFailed(Exception):  # noqa: N818 - it says how a trial ended, and is caught
    """A trial failed. Its text is what the trial had still to say, its outcome last, as JSON."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a search tells each of its workers.

    Attributes:
        search: The name under which they find the evaluation and the broker.
        space: The study's space where Ray is the backend, else None.
        directions: How many objective values there are.
        study_seed: The study's seed.
        folder: The user's working directory.
        group: Where several workers run each trial together, which; else None.
    """

    search: str
    space: Space | None
    directions: int
    study_seed: int
    folder: str
    group: Group | None = None

    def run(self, config: Mapping[str, Any]) -> None:
        """Run the trial that Ray has started here to its end, and report how it ended.

        Raises:
            TrialFailed: It failed.
            SystemExit: Ray has stopped it.
        """
        # The next trial waits for this one's thread, which may have something to clean up.
        os.environ.setdefault("TUNE_FUNCTION_THREAD_TIMEOUT_S", str(CLEANUP_SECONDS))
        if Path(self.folder).is_dir():
            os.chdir(self.folder)
        name = tune.get_context().get_trial_id()
        number = number_of(name)
        params = dict(config) if self.space is None else params_of(self.space, config)
        record = TrialRecord(number, params=params, study_seed=self.study_seed)
        if self.space is None:
            suggest = asking(self.search, name, record)
        else:
            suggest = partial(known_beforehand, self.space, params)
        channel = WorkerChannel(record, suggest, self.directions)
        with _checkpoint_folder() as record.resume_from:
            if self.group is None:
                outcome = run_in_this_process(received(self.search).run, record, channel)
            else:
                payload = payload_of(record)
                outcome = run_together(self.group, self.search, name, payload, channel)
        channel.end(outcome)

    def as_trainable(self, name: str) -> Callable[[dict[str, Any]], None]:
        """Return the function that Tune runs, by the name that its trials get."""

        def trainable(config: dict[str, Any]) -> None:
            self.run(config)

        trainable.__name__ = name
        return trainable


class WorkerChannel(Channel):
    """A running trial's way to its study: Tune's reports, which take along all else it says.

    Nothing comes back but the end: where Ray has decided to stop the trial, the report raises. The
    trial's threads take turns; once it has ended they get an error, since what they said would
    reach the next trial of this process.

    Args:
        record: The trial's record in this process.
        suggest: Answers a trial that asks for a parameter.
        directions: How many objective values there are.
    """

    def __init__(
        self,
        record: TrialRecord,
        suggest: Callable[[str, Distribution], Any],
        directions: int,
    ) -> None:
        self._record = record
        self._suggest = suggest
        self._requests = count()
        self._directions = directions
        self._unsent: list[Message] = []
        # A trial that never reports has no value but its objective, at step 0.
        self._last = (0, (math.nan,) * directions)
        self._stopped = False
        self._ended = False
        self._process = os.getpid()
        self._lock = threading.RLock()

    def report(self, step: int, values: tuple[float, ...], checkpoint: str | None = None) -> bool:
        """Report to Ray.

        Raises:
            TrialPruned: Ray has stopped the trial.
        """
        with self._turn():
            self._report(step, values, checkpoint)
        return False

    def _report(self, step: int, values: tuple[float, ...], checkpoint: str | None) -> None:
        if self._stopped:
            raise TrialPruned
        if len(values) != self._directions:
            raise ArgumentError(
                f"trial {self._record.number} reported {len(values)} values at step {step}, and "
                f"the study has {self._directions} direction{'s' if self._directions > 1 else ''}"
            )
        self._say("report", step=step, values=list(values), checkpoint=checkpoint)
        self._record.report(step, values)
        self._last = (step, values)
        saved = None if checkpoint is None else tune.Checkpoint.from_directory(checkpoint)
        try:
            tune.report(self._result(step, values), checkpoint=saved)
        except SystemExit:
            self._stopped = True
            raise TrialPruned from None

    def suggest(self, name: str, distribution: Distribution) -> Any:
        return self._suggest(name, distribution)

    def derive(self, values: Mapping[str, Any]) -> None:
        facts = plain("the space function returned", values)
        with self._turn():
            self._say("derive", values=facts)
            self._record.derive(facts)

    def constrain(self, name: str, value: float) -> None:
        with self._turn():
            self._say("constrain", name=name, value=value)
            self._record.constrain(name, value)

    def annotate(self, name: str, value: Any) -> None:
        if not isinstance(name, str):
            raise ArgumentError(f"the name of a fact is {name!r}, expected a text")
        fact = plain(f"the fact {name!r} is", value)
        with self._turn():
            self._say("annotate", name=name, value=fact)
            self._record.annotate(name, fact)

    def stop(self) -> None:
        with self._turn():
            self._say("stop")

    def end(self, outcome: Outcome) -> None:
        """Tell the study how the trial ended.

        Raises:
            TrialFailed: It failed.
            SystemExit: Ray has stopped it, or has taken note of its end.
        """
        with self._turn():
            self._ended = True
        if self._stopped:
            raise SystemExit(0)
        self._unsent.append({"outcome": outcome_to_dict(outcome)})
        if outcome.state is TrialState.FAILED:
            raise TrialFailed(dumps(self._unsent))
        step, values = self._last
        tune.report({**self._result(step, outcome.objectives or values), "done": True})

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        refuse_forked(self._record.number, self._process)
        with self._lock:
            if self._ended:
                raise HpsearchError(
                    f"trial {self._record.number} has ended, and talks to its study no more"
                )
            yield

    def _say(self, call: str, **arguments: Any) -> None:
        request = {"trial": self._record.number, "request": next(self._requests)}
        self._unsent.append({**request, "call": call, **arguments})

    def _result(self, step: int, values: tuple[float, ...]) -> dict[str, Any]:
        said, self._unsent = dumps(self._unsent), []
        return {**as_metrics(values), STEP: step, MESSAGES: said}


def known_beforehand(
    space: Space, params: Mapping[str, Any], name: str, distribution: Distribution
) -> Any:
    """Return the value of a parameter that is asked for once more.

    Raises:
        SpaceError: It was not asked for when the space was read, or not so.
    """
    known = space.parameters.get(name)
    if name not in params:
        raise SpaceError(
            f"parameter {name!r} was asked for while the trial runs, and was not when the "
            "space was read; Ray Tune needs every parameter beforehand"
        )
    if known != distribution:
        raise SpaceError(
            f"parameter {name!r} was {known} and is now {distribution}; one name has one "
            "distribution"
        )
    return params[name]


@contextlib.contextmanager
def _checkpoint_folder() -> Any:
    """Yield the folder of the checkpoint to go on from, None if there is none."""
    checkpoint = tune.get_checkpoint()
    if checkpoint is None:
        yield None
        return
    with checkpoint.as_directory() as folder:
        yield folder
