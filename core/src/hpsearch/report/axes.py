"""How a parameter is drawn along an axis: on a linear or a log scale, or as categories."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from hpsearch.report.style import escaped, label
from hpsearch.report.text import shown
from hpsearch.space.distributions import Categorical, Choice, Distribution

if TYPE_CHECKING:
    from hpsearch.study.study import Study

MISSING: Final = object()
"""The value of a conditional parameter in a trial that did not search it."""

_Scale: TypeAlias = Literal["linear", "log", "category"]

_GOLDEN = (math.sqrt(5) - 1) / 2
_FEW = 8


@dataclass(frozen=True, slots=True)
class Axis:
    """The axis of one parameter.

    Attributes:
        name: The parameter.
        scale: How its values lie on the axis.
        choices: What it can be, in order; only for categories.
        low: The lowest value drawn; only for numbers.
        high: The highest value drawn; only for numbers.
        whole: The values, where they are few whole numbers: each is marked then.
    """

    name: str
    scale: _Scale
    choices: tuple[Choice, ...] = ()
    low: float = 0.0
    high: float = 1.0
    whole: tuple[int, ...] = ()

    def place(self, value: Any, number: int) -> float:
        """Return where a trial's value is drawn; equal categories stand a little apart."""
        if self.scale != "category":
            return float(value)
        # Multiples of the golden ratio spread evenly, and the same trial always falls in place.
        return self.index(value) + 0.5 * (number * _GOLDEN % 1 - 0.5)

    def index(self, value: Any) -> int:
        """Return the place of a category among the choices."""
        return self.choices.index(value)

    def marks(self) -> dict[float, str]:
        """Return what is written along the axis, and where."""
        if self.scale == "category":
            return {float(i): shown(choice) for i, choice in enumerate(self.choices)}
        make = _log_marks if self.scale == "log" else _round_marks
        return {mark: shown(mark) for mark in self.whole or make(self.low, self.high)}

    def ticks(self) -> dict[str, Any]:
        """Return the settings of a plotly axis."""
        marks = self.marks()
        settings = {
            "tickvals": list(marks),
            "ticktext": [escaped(mark, 18) for mark in marks.values()],
        }
        if self.scale == "category":
            return {**settings, "range": [-0.5, len(marks) - 0.5], "showgrid": False}
        return {**settings, "type": self.scale}

    def dimension(self, values: Sequence[Any]) -> dict[str, Any]:
        """Return the values as a dimension of parallel coordinates, which has no log scale."""
        to_place = math.log10 if self.scale == "log" else float
        marks = {to_place(mark): text for mark, text in self.marks().items()}
        if self.scale == "category":
            to_place = self.index
        places = [None if value is MISSING else to_place(value) for value in values]
        ends = [*marks, *(place for place in places if place is not None)]
        low, high = min(ends), max(ends)
        if None in places:
            # Below everything, at a mark of its own: a line cannot leave the axis out.
            below = low - 0.15 * ((high - low) or 1.0)
            marks = {below: "not searched", **marks}
            places = [below if place is None else place for place in places]
            low = below
        if low == high:
            low, high = low - 0.5, high + 0.5
        return {
            "values": places,
            "range": [low, high],
            "tickvals": list(marks),
            "ticktext": [label(mark, 18) for mark in marks.values()],  # no markup is read here
        }


def searched(study: Study) -> list[str]:
    """Return the names of the searched parameters, in the order in which trials have them."""
    return list(dict.fromkeys(name for trial in study.trials for name in trial.params))


def axis_of(study: Study, name: str) -> Axis:
    """Return the axis for a parameter that some trial has."""
    values = [trial.params[name] for trial in study.trials if name in trial.params]
    drawn_from = _drawn_from(study, name)
    if all(_is_number(value) for value in values):
        if any(isinstance(item, Categorical) for item in drawn_from):
            return Axis(name, "category", tuple(sorted(_distinct(values, drawn_from))))
        scale: _Scale = (
            "log" if any(getattr(item, "log", False) for item in drawn_from) else "linear"
        )
        few = sorted(set(values))
        whole = tuple(few) if len(few) <= _FEW and all(type(v) is int for v in few) else ()
        return Axis(name, scale, (), few[0], few[-1], whole)
    return Axis(name, "category", tuple(_distinct(values, drawn_from)))


def log_worthwhile(values: Sequence[float]) -> bool:
    """Whether values spread so far, all above 0, that only a log scale shows them."""
    return bool(values) and min(values) > 0 and max(values) / min(values) > 1_000


def _drawn_from(study: Study, name: str) -> list[Distribution]:
    """Return what a parameter was drawn from, the same object once however many trials share it."""
    searched = {} if study.space is None else study.space.parameters
    drawn_from = (trial.distributions.get(name) for trial in study.trials)
    return list({id(d): d for d in (searched.get(name), *drawn_from) if d is not None}.values())


def _distinct(values: Iterable[Any], drawn_from: Iterable[Distribution]) -> list[Any]:
    """Return every choice that there was, then every other value met."""
    choices = [c for item in drawn_from if isinstance(item, Categorical) for c in item.choices]
    return list(dict.fromkeys([*choices, *values]))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _log_marks(low: float, high: float) -> list[float]:
    """Return the powers of ten from ``low`` to ``high``; where these are few, 2 and 5 as well."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1,), (1, 2, 5)):
        marks = [float(f"{factor}e{power}") for power in powers for factor in factors]
        marks = [mark for mark in marks if low <= mark <= high]
        if len(marks) > 2:
            return marks
    return marks if len(marks) > 1 else [low, high][: 1 + (low < high)]


def _round_marks(low: float, high: float) -> list[float]:
    """Return some five round numbers from ``low`` to ``high``."""
    if low == high:
        return [low]
    rough = (high - low) / 6
    unit = 10.0 ** math.floor(math.log10(rough))
    step = unit * next(factor for factor in (1, 2, 5, 10) if factor * unit >= rough)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{mark * step:.12g}") for mark in range(first, last + 1)]
