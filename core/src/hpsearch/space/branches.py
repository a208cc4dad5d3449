"""From the runs of a define-by-run function to the conditions of its parameters.

Every run took one branch: some parameters decided its way, and some were asked for. A parameter
that was not asked for in every run is conditional, and its condition follows from comparing the
runs that asked for it with those that did not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from hpsearch.space.distributions import Categorical, Choice, Distribution, Int
from hpsearch.space.space import Condition

SMALL: Final = 100
"""The most values that an int parameter may have for its branches to be followed."""

_Case = dict[str, frozenset[Choice]]
"""Parent to the values it may have; all must hold."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One parameter of a run.

    Attributes:
        distribution: What it was asked with.
        decided_before: How many parameters had decided something by then.
    """

    distribution: Distribution
    decided_before: int


@dataclass(slots=True)
class Run:
    """One call of the function.

    Attributes:
        decided: The parameters that decided its way, in that order, with their values.
        asked: Everything it asked for, by name.
        converted: The parameters whose number left our sight, in ``math.log(x)`` say, and where.
    """

    decided: dict[str, Choice] = field(default_factory=dict)
    asked: dict[str, Asked] = field(default_factory=dict)
    converted: dict[str, str] = field(default_factory=dict)


def deciding_values(distribution: Distribution) -> Sequence[Choice] | None:
    """Return every value of a parameter whose branches can be followed, None for any other."""
    if isinstance(distribution, Categorical):
        return distribution.choices
    if isinstance(distribution, Int) and distribution.size() <= SMALL:
        return distribution.values()
    return None


def condition_of(
    name: str, runs: Sequence[Run], parameters: Mapping[str, Distribution]
) -> Condition:
    """Return when a parameter is asked for, with as few parents and cases as tell it.

    Args:
        name: A parameter that some of the runs asked for, and some did not.
        runs: All of them.
        parameters: The distribution of each parameter of any run.
    """
    with_it = [run for run in runs if name in run.asked]
    without = [run for run in runs if name not in run.asked]
    cases: list[_Case] = []
    for run in with_it:
        before = list(run.decided.items())[: run.asked[name].decided_before]
        case = {parent: frozenset((value,)) for parent, value in before}
        if case not in cases:
            cases.append(case)
    cases = _joined([_shortened(case, without) for case in cases])
    in_order = {parent: deciding_values(parameters[parent]) or () for parent in parameters}
    return Condition(
        tuple(
            tuple(
                (parent, tuple(value for value in in_order[parent] if value in values))
                for parent, values in sorted(case.items())
            )
            for case in cases
        )
    )


def _shortened(case: _Case, without: Sequence[Run]) -> _Case:
    """Leave out each parent that tells nothing, later ones first: they hang on earlier ones."""
    for parent in reversed(list(case)):
        shorter = {other: values for other, values in case.items() if other != parent}
        if not any(_may_hold(shorter, run) for run in without):
            case = shorter
    return case


def _joined(cases: list[_Case]) -> list[_Case]:
    """Make one case of all that differ in the values of a single parent, as long as some do."""
    before = -1
    while len(cases) != before:
        before = len(cases)
        for parent in dict.fromkeys(parent for case in cases for parent in case):
            alike: dict[object, _Case] = {}
            for case in cases:
                rest = frozenset(item for item in case.items() if item[0] != parent)
                key = (parent in case, rest)
                twin = alike.get(key, case)
                alike[key] = {other: case[other] | twin[other] for other in case}
            cases = list(alike.values())
    return cases


def _may_hold(case: _Case, run: Run) -> bool:
    """Whether the case holds for some of the points that go this run's way."""
    return all(
        parent in run.asked and (parent not in run.decided or run.decided[parent] in values)
        for parent, values in case.items()
    )
