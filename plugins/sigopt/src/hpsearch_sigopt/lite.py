"""The experiment of SigOpt's optimiser in this process: seeded, and going on where it gives up."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from hpsearch.errors import BackendError
from hpsearch.study.seeds import derive_seed
from hpsearch_sigopt.connect import client, connect
from hpsearch_sigopt.engine import seeded
from hpsearch_sigopt.experiment import Experiment, Observation
from hpsearch_sigopt.options import SigOptOptions

logger = logging.getLogger("hpsearch")

_DRAWS = 100
"""How many random points are drawn to find one that was not tried yet."""


class LiteExperiment(Experiment):
    """An :class:`Experiment` of the driver ``"lite"``, which holds one for each connection.

    Each suggestion is drawn from a seed of its trial's own: a resumed search draws nothing twice.

    The optimiser raises where no point is left: in a small space without floats (it counts
    observations, not points, so often before each was tried), where rounding to whole numbers left
    none within the linear constraints, and where there is too little for its model. Then a random
    experiment of the same body draws.
    """

    def __init__(
        self, connection: Any, native: Any, options: SigOptOptions, body: dict[str, Any], seed: int
    ) -> None:
        super().__init__(connection, native)
        self._options = options
        self._body = body
        self._seed = seed
        self._tried: set[str] = set()
        self._random: Any = None

    def suggest(self, facts: Mapping[str, Any]) -> Any:
        number = facts["trial"]
        refused = client().exception.SigOptException
        with seeded(derive_seed(self._seed, "sigopt", number)):
            try:
                return super().suggest(facts)
            except refused as error:
                if not isinstance(error.__cause__, _no_point()):
                    raise
                return self._draw(number, error)

    def observe(self, suggestion: Any, observation: Observation) -> None:
        # By assignments: the suggestion may have come from the random experiment, and what was
        # evaluated is the suggestion rounded to what the space has.
        del suggestion
        self._tried.add(_key(observation.assignments))
        super().observe(None, observation)

    def _draw(self, number: int, error: Exception) -> Any:
        """Return a random suggestion, one that was not tried yet if it is found."""
        if self._random is None:
            logger.warning(
                "SigOpt's optimiser has no suggestion for trial %d (%s); where it has none, "
                "parameters are drawn at random, those not tried yet first",
                number,
                error,
            )
            self._random = connect(self._options)
        drawn = None
        for _ in range(_DRAWS):
            # A new experiment each time: one that has a suggestion open gives the same again.
            created = self._random.experiments().create(**{**self._body, "type": "random"})
            try:
                drawn = self._random.experiments(created.id).suggestions().create()
            except client().exception.SigOptException:
                continue
            if _key(drawn.assignments) not in self._tried:
                break
        if drawn is None:
            raise BackendError(
                f"SigOpt's optimiser finds no point of the space: {error}"
            ) from error
        return drawn


def _no_point() -> tuple[type[Exception], ...]:
    """Return what the optimiser raises for want of a point or of a model."""
    errors = import_module("libsigopt.aux.errors")
    estimator = import_module("libsigopt.compute.sigopt_parzen_estimator")
    return IndexError, errors.SigoptComputeError, estimator.SPEInsufficientDataError


def _key(assignments: Mapping[str, Any]) -> str:
    """Return what equal assignments have in common; a logarithm and back costs the last bits."""
    rounded = {
        name: f"{value:.12g}" if isinstance(value, float) else value
        for name, value in assignments.items()
    }
    return json.dumps(rounded, sort_keys=True)
