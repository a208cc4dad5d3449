"""The contract's second part: parameters of every kind, and what a space can ask for."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from hpsearch.errors import CapabilityError, SpaceError
from hpsearch.space.distributions import Categorical, Distribution, Float, Int
from hpsearch.space.space import Space, when
from hpsearch.study.study import Study
from hpsearch.testing.contract.base import Contract
from hpsearch.testing.objectives import Distance

KINDS: Mapping[str, Distribution] = {
    "float": Float(-2.5, 7.5),
    "int": Int(3, 17),
    "categorical": Categorical(["a", "b", "c"]),
    "categorical-mixed": Categorical([None, True, 0, 0.5, "text"]),
    "float-single": Float(2.0, 2.0),
    "int-single": Int(2, 2),
    "categorical-single": Categorical(["only"]),
    "float-log": Float(1e-6, 1.0, log=True),
    "int-log": Int(1, 1024, log=True),
    "float-step": Float(0.0, 10.0, step=2.5),
    "float-unit-step": Float(0.0, 10.0, step=1.0),
    "int-step": Int(2, 20, step=3),
}
"""The kinds of parameter. A kind that a backend cannot search stands in ``refuses``."""

PLAIN = [kind for kind in KINDS if not kind.endswith(("log", "step"))]
LOG = [kind for kind in KINDS if kind.endswith("log")]
STEP = [kind for kind in KINDS if kind.endswith("step")]


class SpaceContract(Contract):
    """What is suggested is a point of the space."""

    @pytest.mark.parametrize("kind", PLAIN)
    def test_a_parameter_is_searched_within_its_bounds(self, kind: str) -> None:
        """Values lie within the parameter's bounds, or are one of its choices.

        Both bounds are included. Values are plain Python ones of the parameter's type, and not
        always the same.
        """
        self._searched_or_refused(kind)

    @pytest.mark.parametrize("kind", LOG)
    def test_a_log_scale_is_searched_or_refused(self, kind: str) -> None:
        """A log scale is searched if declared, and refused if not.

        With the capability 'log', values are drawn on a logarithmic scale within the bounds;
        without it, the parameter is refused by name with a CapabilityError.
        """
        if not self.capabilities.log:
            self.refused(CapabilityError, Distance(), {kind: KINDS[kind]}, naming=(kind,))
            return
        study = self._searched_or_refused(kind)
        if study is None or kind != "float-log":
            return
        values = [trial[kind] for trial in study.trials]
        # Half of a log scale from 1e-6 to 1 lies below 1e-3, and a thousandth of a linear one.
        self.expect(min(values) < 1e-3, f"none of {values} lies in the lower half of the log scale")

    @pytest.mark.parametrize("kind", STEP)
    def test_steps_are_searched_or_refused(self, kind: str) -> None:
        """Steps are kept if declared, and refused if not.

        With the capability 'step', values lie on the parameter's steps, counted from its lower
        bound; without it, the parameter is refused by name with a CapabilityError.
        """
        if self.capabilities.step:
            self._searched_or_refused(kind)
        else:
            self.refused(CapabilityError, Distance(), {kind: KINDS[kind]}, naming=(kind,))

    def test_every_parameter_is_suggested_and_no_other(self) -> None:
        """A suggestion has every parameter of the space, and no other.

        By its own name, whatever characters that name has.
        """
        distribution = next(iter(self.space.values()))
        names = ["b", "a", "optimizer.learning rate", "number", "Größe"]
        study = self.search(Distance(), dict.fromkeys(names, distribution), n_trials=4)
        for trial in study.trials:
            self.expect(
                set(trial.params) == set(names),
                f"trial {trial.number} has {dict(trial.params)} in a space of {names}",
            )

    def test_conditions_are_kept_or_refused(self) -> None:
        """Conditions are kept if declared, and refused if not.

        With the capability 'conditions', a conditional parameter is suggested where its condition
        holds, and only there; without it, it is refused by name with a CapabilityError.
        """
        parent = Int(0, 1) if "categorical" in self.refuses else Categorical(["sgd", "adam"])
        first, second = parent.values()
        space = Space(
            {"branch": parent, "beta": Int(1, 3), "momentum": Int(4, 6)},
            {"beta": when(branch=second), "momentum": when(branch=first)},
        )
        if not self.capabilities.conditions:
            self.refused(CapabilityError, Distance(), space, naming=("beta",))
            return
        study = self.search(Distance(), space)
        for trial in study.trials:
            searched = {"branch", "beta" if trial["branch"] == second else "momentum"}
            self.expect(
                set(trial.params) == searched,
                f"trial {trial.number} has {dict(trial.params)}, expected {sorted(searched)}",
            )
        tried = {trial["branch"] for trial in study.trials}
        self.expect(tried == {first, second}, f"of two branches only {tried} was tried")

    def _searched_or_refused(self, kind: str) -> Study | None:
        distribution = KINDS[kind]
        if kind in self.refuses:
            self.refused(SpaceError, Distance(), {kind: distribution}, naming=(kind,))
            return None
        study = self.search(Distance(), {kind: distribution})
        # The core holds every suggestion against the space, and raises for a value outside.
        values = [trial[kind] for trial in study.trials]
        finite = distribution.values()
        varies = finite is None or len(finite) > 1
        self.expect(
            not varies or len(set(values)) > 1,
            f"{len(values)} trials all had {kind} = {values[0]!r}, of {distribution}",
        )
        return study
