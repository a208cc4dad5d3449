"""Small backends that keep the contract; the broken ones are made from them."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from hpsearch.plugins.backend import USUAL, Backend, Capabilities, Exhausted
from hpsearch.plugins.hookspecs import hookimpl
from hpsearch.study.seeds import derive_seed
from hpsearch.validators import check_options, number

if TYPE_CHECKING:
    from hpsearch.execution.evaluate import Evaluate
    from hpsearch.space.distributions import Distribution
    from hpsearch.study.channel import Channel
    from hpsearch.study.outcome import Outcome
    from hpsearch.study.record import TrialRecord
    from hpsearch.study.study import Study


@dataclass(frozen=True, slots=True)
class SoundOptions:
    """Options of the sound backends.

    Attributes:
        warmth: A number of at least 0, which changes nothing.
    """

    warmth: float = 0.0

    def __post_init__(self) -> None:
        check_options(self, number, "warmth", least=0)


class Sound(Backend):
    """Independent draws, with every capability of an ask/tell backend that needs no memory."""

    api_version = 1
    capabilities = replace(USUAL, define_by_run=True)
    Options: ClassVar[type[Any]] = SoundOptions

    @hookimpl
    def hpsearch_suggest(self, study: Study, trial: TrialRecord) -> Mapping[str, Any] | Exhausted:
        if study.space is None:
            return {}
        rng = self.rng(study, trial)
        params: dict[str, Any] = {}
        for name, distribution in study.space.active(params):
            params[name] = self.draw(distribution, rng)
        return params

    @hookimpl
    def hpsearch_suggest_parameter(
        self, trial: TrialRecord, name: str, distribution: Distribution
    ) -> Any:
        if name in trial.fixed:
            return trial.fixed[name]
        return self.draw(distribution, random.Random(derive_seed(trial.seed, name)))

    def rng(self, study: Study, trial: TrialRecord) -> random.Random:
        """Return what a trial's parameters are drawn with."""
        return random.Random(trial.seed)

    def draw(self, distribution: Distribution, rng: random.Random) -> Any:
        """Draw a parameter."""
        return distribution.sample(rng)


class Bare(Sound):
    """Declares no capability, so that everything is refused."""

    capabilities = Capabilities()


class Prunes(Sound):
    """Prunes a trial that reports far more than any complete trial ended with."""

    capabilities = replace(Sound.capabilities, pruning=True)

    @hookimpl
    def hpsearch_report(self, study: Study, values: tuple[float, ...]) -> bool:
        known = [trial.objectives[0] for trial in study.trials if trial.objectives]
        return bool(known) and values[0] > 100 * max(known)


class OwnsLoop(Sound):
    """Runs the trials itself, one after the other."""

    capabilities = replace(Sound.capabilities, owns_loop=True, max_parallel=1)

    @hookimpl
    def hpsearch_run(self, study: Study, evaluate: Evaluate) -> bool:
        while study.history.may_start():
            trial = study.history.ask()
            if trial is None:
                break
            study.history.tell(trial, self.run(study, trial, evaluate))
        return True

    def run(self, study: Study, trial: TrialRecord, evaluate: Evaluate) -> Outcome:
        """Run a trial that has started."""
        return evaluate.run(trial, self.channel(study, trial))

    def channel(self, study: Study, trial: TrialRecord) -> Channel:
        """Return how a trial talks to its study."""
        return study.history.channel(trial)


class Chooses(OwnsLoop):
    """Runs the trials itself, with parameters and names of its own choice."""

    capabilities = replace(OwnsLoop.capabilities, define_by_run=False, replay=False)

    @hookimpl
    def hpsearch_run(self, study: Study, evaluate: Evaluate) -> bool:
        assert study.space is not None  # It does not declare define_by_run.
        while study.history.may_start():
            number = len(study.trials)
            params = study.space.sample(random.Random(derive_seed(study.seed, number)))
            trial = study.history.begin(params, id=f"run-{number}")
            study.history.tell(trial, self.run(study, trial, evaluate))
        return True
