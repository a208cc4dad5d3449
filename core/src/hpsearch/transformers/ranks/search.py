"""One search on all ranks: rank 0 leads, the others follow."""

from __future__ import annotations

from typing import Any, Protocol

from hpsearch.errors import ArgumentError
from hpsearch.execution.executor import Executor
from hpsearch.study.study import Study
from hpsearch.transformers.ranks.follower import MakeObjective, follow
from hpsearch.transformers.ranks.launch import join
from hpsearch.transformers.ranks.leader import lead
from hpsearch.transformers.ranks.together import Together


class Run(Protocol):
    """Runs the search of an objective on an executor."""

    def __call__(self, objective: Any, *, executor: Executor) -> Study: ...


def search_together(
    make: MakeObjective, run: Run, *, rank_timeout: float, collective_timeout: float
) -> Study:
    """Run one search in every process of the launch; each of them calls this.

    Args:
        make: Returns the objective: as the user wants it, with what differs on this rank.
        run: Runs the search; called on rank 0 alone.
        rank_timeout: Seconds from a failure on any rank until all are together again.
        collective_timeout: Of the process group that is started after a failure, in seconds.

    Returns:
        The study, on every rank.

    Raises:
        RankError: The ranks cannot go on together.
        HpsearchError: Whatever else the search raises on rank 0, on every rank.
    """
    store = join()
    together = Together(store, rank_timeout, collective_timeout)
    try:
        if store.rank:
            return follow(together, make)
        return lead(together, lambda ranks: run(make(processes=store.size), executor=ranks))
    finally:
        together.close()


def check_alone(options: dict[str, Any], processes: int) -> None:
    """Raise :class:`ArgumentError` for options that ask for more processes."""
    if options.get("executor", "inline") != "inline" or options.get("n_workers") not in (None, 1):
        raise ArgumentError(
            f"{processes} processes train each trial together here, one trial at a time, so "
            "executor= and n_workers= do not work under torchrun and accelerate launch; start the "
            "script without them to train several trials at a time"
        )
