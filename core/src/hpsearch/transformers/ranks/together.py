"""How all ranks end a trial as one, whatever happened to it on each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from hpsearch.errors import EvaluationSignal, RankError
from hpsearch.study.outcome import Outcome, TrialState
from hpsearch.study.serial import outcome_from_dict, outcome_to_dict
from hpsearch.transformers.ranks import group
from hpsearch.transformers.ranks.store import KeyValueStore, Message
from hpsearch.transformers.ranks.watch import Watch


class SearchEnded(EvaluationSignal):
    """A signal that no objective may catch: rank 0 has ended the search; the message says how."""

    def __init__(self, message: Message) -> None:
        super().__init__()
        self.message = message


class PeerFailed(Exception):  # noqa: N818 - the failure is another rank's
    """Another rank has failed in this trial."""


class RankChannel(Protocol):
    """What a rank's channel has seen of its trial.

    Attributes:
        told_to_prune: Whether rank 0 asked for the trial to be pruned; it then asked all ranks.
        facts: What the trial annotated, where that has not reached the study.
        stopped: Whether the trial asked for the search to stop, where that has not reached it.
    """

    told_to_prune: bool
    facts: dict[str, Any]
    stopped: bool


@dataclass(frozen=True, slots=True)
class Ending:
    """How a trial ended on one rank.

    Attributes:
        rank: The rank.
        outcome: The trial's outcome there.
        alone: Whether the other ranks may still be training it.
        interrupted: Whether it ended by something that ends the search, such as Ctrl-C.
        facts: See :class:`RankChannel`.
        stopped: See :class:`RankChannel`.
    """

    rank: int
    outcome: Outcome
    alone: bool
    interrupted: bool = False
    facts: dict[str, Any] = field(default_factory=dict)
    stopped: bool = False

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Ending:
        """Read the JSON form back."""
        return cls(**{**data, "outcome": outcome_from_dict(data["outcome"])})

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "rank": self.rank,
            "outcome": outcome_to_dict(self.outcome),
            "alone": self.alone,
            "interrupted": self.interrupted,
            "facts": self.facts,
            "stopped": self.stopped,
        }


class Together:
    """One rank's part in a search.

    Args:
        store: The key-value store of the search.
        bound: Seconds from a failure on any rank until all are together again.
        collective_timeout: Of the process group that is started after a failure, in seconds.
    """

    def __init__(self, store: KeyValueStore, bound: float, collective_timeout: float) -> None:
        self.store = store
        self.turn = -1
        self._collective_timeout = collective_timeout
        self._watch = Watch(store, bound)

    def close(self) -> None:
        """End this rank's part."""
        self._watch.close()

    def take_part(self, run: Callable[[], Outcome], channel: RankChannel) -> Ending:
        """Run the next trial and end it with the others.

        Args:
            run: Runs it here.
            channel: Its channel.

        Returns:
            How the trial ended: as on a rank that was interrupted, else as on the first that left
            it, else as on rank 0. After an interrupt there is no process group any more.

        Raises:
            RankError: The ranks cannot go on together.
        """
        self.turn += 1
        self.store.next_turn()
        self._watch.begin(self.turn)
        interrupted = False
        try:
            outcome = run()
        except (SearchEnded, RankError):
            raise
        except BaseException as error:  # noqa: BLE001 - the other ranks have to hear of it first
            outcome, interrupted = Outcome.failed(error), not isinstance(error, Exception)
        pruned_alone = outcome.state is TrialState.PRUNED and not channel.told_to_prune
        ending = Ending(
            self.store.rank,
            outcome,
            alone=pruned_alone or outcome.state is TrialState.FAILED,
            interrupted=interrupted,
            facts=channel.facts,
            stopped=channel.stopped,
        )
        agreed = self._agree(ending)
        self._watch.end()
        return agreed

    def hear_begin(self) -> Message:
        """Wait for rank 0 to begin the search.

        Raises:
            SearchEnded: It was refused.
            RankError: Rank 0 is gone.
        """
        return self.store.read("begin", self._give_up)

    def tell(self, key: str, message: Message) -> None:
        """Write the other ranks a message about this trial."""
        self.store.write(f"{self.turn}/{key}", message)

    def hear(self, key: str) -> Message:
        """Wait for a message of rank 0 about this trial.

        Raises:
            PeerFailed: A rank has failed in this trial, so the message may never come.
            SearchEnded: The search is over.
            RankError: Rank 0 is gone.
        """

        def give_up() -> None:
            self._give_up()
            broken = self.store.peek(f"{self.turn}/broken")
            if broken is not None:
                raise PeerFailed(broken["cause"])

        return self.store.read(f"{self.turn}/{key}", give_up)

    def _agree(self, mine: Ending) -> Ending:
        running_on = group.backend()
        if mine.alone:
            self.store.claim(f"{self.turn}/broken", _cause(mine))
        self.tell(f"ended/{mine.rank}", {"ending": mine.to_dict(), "group": running_on})
        if mine.alone:
            group.leave(mine.outcome.exception)
        if mine.interrupted:
            return mine
        messages = self._of_all("ended")
        endings = [Ending.from_dict(message["ending"]) for message in messages]
        endings[mine.rank] = mine
        if not any(ending.alone for ending in endings):
            return endings[0]
        for ending in endings:
            if ending.interrupted:
                return ending
        group.leave(mine.outcome.exception)
        self._start_again({message["group"] for message in messages} - {None})
        first = self.store.peek(f"{self.turn}/broken")
        assert first is not None
        return endings[first["rank"]]

    def _start_again(self, backends: set[str]) -> None:
        if not backends:  # no trial has built a Trainer yet
            return
        self.tell(f"left/{self.store.rank}", {})
        self._of_all("left")
        group.start(
            self.store.store_for(f"{self.turn}/group"),
            self.store.rank,
            self.store.size,
            backends.pop(),
            self._collective_timeout,
        )

    def _of_all(self, key: str) -> list[Message]:
        names = [f"{self.turn}/{key}/{rank}" for rank in range(self.store.size)]
        return [self.store.read(name, self._give_up) for name in names]

    def _give_up(self) -> None:
        if self.store.rank:
            end = self.store.peek("end")
            if end is not None:
                raise SearchEnded(end)
        self._watch.check()


def _cause(ending: Ending) -> Message:
    how = ending.outcome.error or "it was pruned there alone"
    return {"rank": ending.rank, "cause": f"rank {ending.rank} left a trial: {how}"}
