"""What one trial needs, whether a cluster has it, and for how many trials at a time."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import ray
from ray.tune import PlacementGroupFactory
from ray.tune.execution.placement_groups import resource_dict_to_pg_factory

from hpsearch.errors import OptionError

if TYPE_CHECKING:
    from ray.tune.experiment import Trial as TuneTrial

_LOOK_SECONDS = 1.0
"""How long a look at the cluster's resources holds."""

_UNITS = 10_000
"""Ray's smallest share of a resource is one of so many."""


def resources_of_a_trial(given: Any, workers: int = 1) -> PlacementGroupFactory:
    """Return what one trial asks the cluster for.

    Args:
        given: The option ``resources_per_trial``. None is one CPU, and one GPU where there is any.
        workers: How many workers run a trial together; ``given`` is then what each of them needs.

    Raises:
        OptionError: The nodes have not what one trial needs, and none can be added.
    """
    if given is None:
        given = {"cpu": 1, "gpu": 1} if _there().get("GPU") else {"cpu": 1}
    factory: PlacementGroupFactory = (
        resource_dict_to_pg_factory(dict(given)) if isinstance(given, Mapping) else given
    )
    if workers > 1:
        factory = PlacementGroupFactory(factory.bundles * workers)
    if not _grows():
        nodes = _nodes()
        has = "; ".join(_shown(node) for node in nodes)
        are = f"The cluster's {len(nodes)} node{'s' if len(nodes) > 1 else ''}: {has}"
        for bundle in factory.bundles:
            if not any(_fitting(node, bundle) for node in nodes):
                raise OptionError(
                    f"resources_per_trial asks for {_shown(bundle)} on one node, and no node has "
                    f"that. {are}"
                )
        if workers > 1 and _trials_that_fit(factory.bundles) < 1:
            raise OptionError(
                f"workers_per_trial is {workers}, and there is not room for so many of "
                f"{_shown(factory.bundles[0])} each. {are}"
            )
    return factory


class Capacity:
    """How many trials may be open at a time, so that none is begun long before it can run.

    Args:
        resources: What one trial needs.
        most: The user's own limit, None for none.
        queue: Whether one more is begun than fits: some schedulers only pause a trial, for others
            to have their turn, when one waits.
    """

    def __init__(self, resources: PlacementGroupFactory, most: int | None, queue: bool) -> None:
        self._bundles = resources.bundles
        self._most = math.inf if most is None else most
        self._extra = math.inf if queue or _grows() else 0
        self._fit = 1
        self._looked = -math.inf

    def for_another(self, live: Mapping[str, TuneTrial]) -> bool:
        """Whether one more trial may begin in addition to these."""
        open_trials = sum(trial.status != "PAUSED" for trial in live.values())
        return open_trials < min(self._most, self._fitting() + self._extra)

    def _fitting(self) -> int:
        now = time.monotonic()
        if now - self._looked >= _LOOK_SECONDS:
            self._fit = max(1, _trials_that_fit(self._bundles))
            self._looked = now
        return self._fit


def _trials_that_fit(bundles: list[dict[str, float]]) -> int:
    """Return for how many trials there is room at a time, each with these bundles."""
    first = bundles[0]
    if all(bundle == first for bundle in bundles):
        return sum(_fitting(node, first) for node in _nodes()) // len(bundles)
    needed: Counter[str] = Counter()
    for bundle in bundles:
        needed.update(bundle)
    return _fitting(_there(), needed)


def _fitting(there: Mapping[str, float], needed: Mapping[str, float]) -> int:
    """Return how often what is needed is there; Ray counts in ten-thousandths."""
    counts = [
        round(there.get(name, 0) * _UNITS) // max(1, round(amount * _UNITS))
        for name, amount in needed.items()
        if amount
    ]
    return min(counts, default=1)


def _nodes() -> list[Mapping[str, float]]:
    """Return the resources of each node."""
    listed: Any = ray.nodes  # Ray has no types for these.
    return [node["Resources"] for node in listed() if node["Alive"]]


def _there() -> dict[str, float]:
    resources: Any = ray.cluster_resources
    there: dict[str, float] = resources()
    return there


def _grows() -> bool:
    """Whether the cluster adds nodes when they are asked for."""
    state = ray._private.state.state
    grows: bool = state.get_max_resources_from_cluster_config() is not None
    return grows


def _shown(resources: Mapping[str, float]) -> str:
    named = {
        name: amount
        for name, amount in resources.items()
        if amount and not name.startswith(("node:", "object_store_memory"))
    }
    return ", ".join(f"{amount:g} {name}" for name, amount in sorted(named.items())) or "nothing"
