"""Rank 0: runs the search, and each trial of it together with the other ranks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Any

from hpsearch.errors import RankError
from hpsearch.execution.evaluate import Evaluate
from hpsearch.execution.executor import Executor
from hpsearch.study.channel import Channel
from hpsearch.study.outcome import Outcome
from hpsearch.study.serial import payload_of, plain
from hpsearch.transformers.ranks import result
from hpsearch.transformers.ranks.together import Together
from hpsearch.transformers.tracked import SpaceFunction

if TYPE_CHECKING:
    from hpsearch.space.distributions import Distribution
    from hpsearch.study.control import Control
    from hpsearch.study.record import TrialRecord
    from hpsearch.study.study import Study
    from hpsearch.study.trial import Trial

_START = 1800.0  # seconds in which every rank has to come to the search; torch's own patience
_FAREWELL = 5.0  # seconds in which they have to hear that it is over, before rank 0 moves on


def lead(together: Together, run: Callable[[Executor], Study]) -> Study:
    """Run the search; whatever ends it ends it on every rank.

    Args:
        together: Rank 0's part.
        run: Runs the search on the executor that it gets.

    Raises:
        RankError: The ranks cannot go on together.
        HpsearchError: Whatever else the search raises.
    """
    try:
        _wait_for_followers(together)
        study = run(RanksExecutor(together))
    except BaseException as error:
        with suppress(RankError):  # what ended the search outranks that nobody hears of it
            _say_end(together, result.message_of_error(error))
        raise
    _say_end(together, result.message_of_study(study))
    return study


def _wait_for_followers(together: Together) -> None:
    deadline = monotonic() + _START
    for rank in _followers(together):

        def give_up(rank: int = rank) -> None:
            if monotonic() > deadline:
                raise RankError(f"rank {rank} did not come to the search within {_START:g} s")

        message = together.store.read(f"ready/{rank}", give_up)
        if "error" in message:
            result.study_of(message)


def _say_end(together: Together, message: dict[str, Any]) -> None:
    """Tell every rank how the search ended, and serve the store until they know."""
    together.store.write("end", message)
    deadline = monotonic() + _FAREWELL

    def give_up() -> None:
        if monotonic() > deadline:
            raise RankError("a rank did not hear that the search is over")

    with suppress(RankError):  # it is stuck or gone, and ends by its own watch
        for rank in _followers(together):
            together.store.read(f"heard/{rank}", give_up)


def _followers(together: Together) -> range:
    return range(1, together.store.size)


class RanksExecutor(Executor):
    """Runs each trial in all ranks together, one trial at a time."""

    n_workers = 1

    def __init__(self, together: Together) -> None:
        self._together = together
        self.no_loop_owner = (
            f", and {together.store.size} processes train each trial together here, which an "
            "engine's own workers cannot: use backend 'optuna', 'random' or 'grid' under torchrun "
            "and accelerate launch, or start the script without them"
        )

    def open(self, control: Control, evaluate: Evaluate) -> None:
        self._control = control
        function = evaluate.space_function
        if function is not None:
            evaluate = replace(evaluate, space_function=self._announced(function))
        self._evaluate = evaluate
        study = control.study
        self._together.store.write(
            "begin",
            {
                "directions": study.directions,
                "metrics": study.metrics,
                "space_function": _whose(function),
            },
        )

    def submit(self, trial: TrialRecord) -> None:
        self._trial = trial

    def wait(self) -> tuple[TrialRecord, Outcome]:
        trial, together = self._trial, self._together
        channel = LeadingChannel(self._control.channel(trial), together)

        def run() -> Outcome:
            together.tell("trial", payload_of(trial))
            return self._evaluate.run(trial, channel)

        ending = together.take_part(run, channel)
        if ending.interrupted:
            raise ending.outcome.exception or KeyboardInterrupt(str(ending.outcome.error))
        if ending.rank:
            for name, fact in ending.facts.items():
                if name not in trial.attrs:
                    self._control.annotate(trial, name, fact)
            if ending.stopped:
                channel.stop()
        if ending.alone:
            self._control.annotate(trial, "left_by_rank", ending.rank)
        return trial, ending.outcome

    def close(self) -> None:
        del self._control, self._evaluate

    def _announced(self, function: Callable[[Trial], Any]) -> Callable[[Trial], Any]:
        """Have the other ranks hear what the space function, which is called here alone, gives."""

        def announcing(trial: Trial) -> Any:
            returned = function(trial)
            returned = plain("the space function returned", returned)
            self._together.tell("space", {"params": dict(trial.params), "returned": returned})
            return returned

        return announcing


def _whose(function: object) -> str | None:
    """Say whether a space function names what is searched, as the user's does, or adds groups."""
    if function is None:
        return None
    return "user's" if isinstance(function, SpaceFunction) else "core's"


class LeadingChannel(Channel):
    """The channel of rank 0: talks to the study, and tells the other ranks its answers."""

    def __init__(self, channel: Channel, together: Together) -> None:
        self._channel = channel
        self._together = together
        self.told_to_prune = False
        self.facts: dict[str, Any] = {}
        self.stopped = False

    def report(self, step: int, values: tuple[float, ...], checkpoint: str | None = None) -> bool:
        prune = self._channel.report(step, values, checkpoint)
        self.told_to_prune |= prune
        self._together.tell(f"report/{step}", {"prune": prune})
        return prune

    def suggest(self, name: str, distribution: Distribution) -> Any:
        value = self._channel.suggest(name, distribution)
        self._together.tell(f"suggest/{name}", {"value": value})
        return value

    def agree(self, name: str, decide: Callable[[], Any]) -> Any:
        value = decide()
        self._together.tell(f"agree/{name}", {"value": value})
        return value

    def derive(self, values: Mapping[str, Any]) -> None:
        self._channel.derive(values)

    def constrain(self, name: str, value: float) -> None:
        self._channel.constrain(name, value)

    def annotate(self, name: str, value: Any) -> None:
        self._channel.annotate(name, value)

    def stop(self) -> None:
        self._channel.stop()
