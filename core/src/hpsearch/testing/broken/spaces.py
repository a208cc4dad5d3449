"""Broken in what they suggest for a space."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hpsearch.plugins.backend import Exhausted
from hpsearch.plugins.hookspecs import hookimpl
from hpsearch.space.distributions import Float, Int
from hpsearch.testing.broken.registry import caught_by
from hpsearch.testing.sound import Sound

if TYPE_CHECKING:
    from hpsearch.space.distributions import Distribution
    from hpsearch.study.record import TrialRecord
    from hpsearch.study.study import Study


class _EngineInteger(int):
    pass


@caught_by("test_a_parameter_is_searched_within_its_bounds")
class LeaksItsIntegers(Sound):
    """Suggests its engine's own integers, where nothing converts or caches them."""

    def draw(self, distribution: Distribution, rng: random.Random) -> Any:
        value = super().draw(distribution, rng)
        plain = isinstance(distribution, Int) and distribution.step == 1 and not distribution.log
        return _EngineInteger(value) if plain and value > 9 else value


@caught_by("test_a_log_scale_is_searched_or_refused")
class IgnoresLogScales(Sound):
    """Draws on a linear scale."""

    def draw(self, distribution: Distribution, rng: random.Random) -> Any:
        if isinstance(distribution, Float):
            distribution = replace(distribution, log=False)
        return super().draw(distribution, rng)


@caught_by("test_steps_are_searched_or_refused")
class IgnoresSteps(Sound):
    """Draws between the steps."""

    def draw(self, distribution: Distribution, rng: random.Random) -> Any:
        if isinstance(distribution, Float):
            distribution = replace(distribution, step=None)
        return super().draw(distribution, rng)


@caught_by("test_every_parameter_is_suggested_and_no_other")
class ForgetsParameters(Sound):
    """Suggests three parameters at most."""

    @hookimpl
    def hpsearch_suggest(self, study: Study, trial: TrialRecord) -> Mapping[str, Any] | Exhausted:
        answer = super().hpsearch_suggest(study, trial)
        return answer if isinstance(answer, Exhausted) else dict(list(answer.items())[:3])


@caught_by("test_conditions_are_kept_or_refused")
class IgnoresConditions(Sound):
    """Suggests every parameter, searched or not."""

    @hookimpl
    def hpsearch_suggest(self, study: Study, trial: TrialRecord) -> Mapping[str, Any] | Exhausted:
        parameters = study.space.parameters if study.space else {}
        rng = self.rng(study, trial)
        return {name: self.draw(item, rng) for name, item in parameters.items()}
