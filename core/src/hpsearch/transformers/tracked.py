"""Which of a trial's values are read: the trial that ``model_init`` and factories get."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hpsearch.errors import SpaceError, listed, nearest
from hpsearch.study.record import TrialRecord
from hpsearch.study.trial import Trial
from hpsearch.transformers.repeats import Part


class TrackedMapping(Mapping[str, Any]):
    """A mapping that notes in ``names`` which of its values were read."""

    def __init__(self, values: Mapping[str, Any], names: set[str]) -> None:
        self._values = values
        self._names = names

    def __getitem__(self, name: str) -> Any:
        value = self._values[name]
        self._names.add(name)
        if isinstance(value, Mapping):  # a group: trial["model"] hands out every "model.width"
            self._names.update(member for member in self._values if member.startswith(f"{name}."))
        return value

    def __contains__(self, name: object) -> bool:
        return name in self._values  # asking whether a name is there reads nothing

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return repr(self._values)


class TrackedTrial(TrackedMapping):
    """A trial that behaves as the one it stands for and notes in ``read`` what was read of it.

    Values are read by ``trial["x"]``, ``trial.params["x"]``, ``trial.suggest_float("x", ...)``, or
    through any mapping that the engine's own trial offers, such as SigOpt's ``assignments``.
    """

    def __init__(self, trial: Trial | TrialRecord) -> None:
        self.read: set[str] = set()
        self.trial = trial
        super().__init__(trial, self.read)

    def __bool__(self) -> bool:
        return True  # also one without parameters: `if trial:` asks whether there is a trial

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "trial":  # a copy asks before it has a trial
            raise AttributeError(name)
        if name.startswith("suggest"):
            return self._suggest(name)
        value = getattr(self.trial, name)
        return TrackedMapping(value, self.read) if isinstance(value, Mapping) else value

    def _suggest(self, method: str) -> Callable[..., Any]:
        suggest = getattr(self.trial, method)

        def tracked(name: str, *arguments: Any, **options: Any) -> Any:
            self.read.add(name)
            return suggest(name, *arguments, **options)

        return tracked


class RecordedTrial(TrackedTrial):
    """A trial that has ended, and answers each suggestion with the value it had then.

    What a live trial would tell its study is left unsaid: its record has it.
    """

    def __getattr__(self, name: str) -> Any:
        if name in _TELLING:
            return lambda *_arguments, **_options: None
        return super().__getattr__(name)

    def _suggest(self, method: str) -> Callable[..., Any]:
        return lambda name, *_arguments, **_options: self._recorded(name)

    def _recorded(self, name: str) -> Any:
        if name not in self:
            raise SpaceError(
                f"parameter {name!r} was not searched in trial {self.trial.number}."
                f"{nearest(name, self)} It has {listed(self)}"
            )
        return self[name]


_TELLING = frozenset(
    ("annotate", "derive", "report", "set_constraint", "should_prune", "stop_study")
)


class SpaceFunction:
    """A define-by-run ``hp_space`` that remembers which names it returned for the last trial.

    What it suggests and does not return was for itself alone: a branch, an exponent.
    """

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function
        self._trial: object = None
        self._returned: frozenset[str] | None = None
        self._suggests = False

    def __call__(self, trial: Any) -> Any:
        returned = self.function(trial)
        self._trial = trial
        self._suggests = bool(trial.params)
        self._returned = frozenset(returned) if isinstance(returned, Mapping) else None
        return returned

    def __getstate__(self) -> dict[str, Any]:
        # What it was last called with belongs to this process: a live trial, or one that only
        # reads the space.
        return {**vars(self), "_trial": None, "_returned": None}

    @property
    def last_returned(self) -> frozenset[str] | None:
        """The names returned for the last trial, such as the one that read the space.

        None where the function suggests nothing: then it returns a space.
        """
        return self._returned if self._suggests else None

    def repeat(self, trial: Trial, again: Trial) -> None:
        """Take what was returned for a trial to be returned for it once more."""
        if self._trial is trial:
            self._trial = again

    def returned(self, trial: Trial | TrialRecord) -> frozenset[str] | None:
        """Return the names returned for this trial; None if it was not called, or named none."""
        return self._returned if self._trial is trial else None


def names_to_set(
    function: SpaceFunction | None, trial: Trial | TrialRecord | Part
) -> frozenset[str]:
    """Return the names that have to take effect: what the space function returned, or all."""
    whole: Any = trial.whole if isinstance(trial, Part) else trial
    returned = None if function is None else function.returned(whole)
    return frozenset(trial) if returned is None else returned
