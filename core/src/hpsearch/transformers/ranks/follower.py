"""Every rank but 0: trains each trial together with rank 0, as rank 0 says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from hpsearch.errors import HpsearchError
from hpsearch.execution.evaluate import Evaluate
from hpsearch.study.channel import Channel
from hpsearch.study.outcome import Outcome
from hpsearch.study.serial import plain
from hpsearch.transformers.ranks import result
from hpsearch.transformers.ranks.together import SearchEnded, Together
from hpsearch.transformers.tracked import SpaceFunction

if TYPE_CHECKING:
    from hpsearch.space.distributions import Distribution
    from hpsearch.study.record import TrialRecord
    from hpsearch.study.study import Study
    from hpsearch.study.trial import Trial
    from hpsearch.transformers.objective import TrainerObjective


class MakeObjective(Protocol):
    """Returns the user's objective, with what differs on a rank."""

    def __call__(self, *, processes: int, **changes: Any) -> TrainerObjective: ...


def follow(together: Together, make: MakeObjective) -> Study:
    """Take part in the search until rank 0 ends it.

    Returns:
        The study as rank 0 has it.

    Raises:
        RankError: The ranks cannot go on together.
        HpsearchError: What the search raises on rank 0.
    """
    store = together.store
    told = SpaceFunction(lambda trial: _told_space(together, trial))
    try:
        objective = make(processes=store.size, space_function=told, baseline=False)
    except HpsearchError as error:
        store.write(f"ready/{store.rank}", result.message_of_error(error))
        store.write(f"heard/{store.rank}", {})
        raise
    store.write(f"ready/{store.rank}", {})
    try:
        begin = together.hear_begin()
        objective.follow(begin["directions"], begin["metrics"])
        functions = {"user's": told, "core's": told.function, None: None}
        function = functions[begin["space_function"]]
        evaluate = Evaluate(objective, function, len(begin["directions"]))
        while True:
            channel = FollowingChannel(together)

            def run(channel: FollowingChannel = channel) -> Outcome:
                return evaluate(together.hear("trial"), channel.of)

            together.take_part(run, channel)
    except SearchEnded as ended:
        store.write(f"heard/{store.rank}", {})
        message = ended.message
    return result.study_of(message)


def _told_space(together: Together, trial: Trial) -> Any:
    """Give a trial the parameters that rank 0's space function suggested; return what it did."""
    message = together.hear("space")
    for name, value in message["params"].items():
        trial.record.suggest(name, value)
    return message["returned"]


class FollowingChannel(Channel):
    """The channel of the other ranks: what rank 0 was answered is the answer here too.

    What goes one way only, facts about the trial, rank 0 says itself; these are kept in case that
    the trial ends here alone.
    """

    def __init__(self, together: Together) -> None:
        self._together = together
        self.told_to_prune = False
        self.facts: dict[str, Any] = {}
        self.stopped = False

    def of(self, record: TrialRecord) -> FollowingChannel:
        """Serve a trial, and keep its record here."""
        self._record = record
        return self

    def report(self, step: int, values: tuple[float, ...], checkpoint: str | None = None) -> bool:
        prune = bool(self._together.hear(f"report/{step}")["prune"])
        self.told_to_prune |= prune
        self._record.report(step, values)
        return prune

    def suggest(self, name: str, distribution: Distribution) -> Any:
        value = self._together.hear(f"suggest/{name}")["value"]
        self._record.suggest(name, value, distribution)
        return value

    def agree(self, name: str, decide: Callable[[], Any]) -> Any:
        return self._together.hear(f"agree/{name}")["value"]

    def derive(self, values: Mapping[str, Any]) -> None:
        self._record.derive(values)

    def constrain(self, name: str, value: float) -> None:
        self._record.constrain(name, value)

    def annotate(self, name: str, value: Any) -> None:
        self.facts[name] = plain(f"the fact {name!r} is", value)
        self._record.annotate(name, self.facts[name])

    def stop(self) -> None:
        self.stopped = True
