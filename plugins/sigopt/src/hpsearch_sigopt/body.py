"""The body of the experiment: what the search, its options and the user's own experiment say."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hpsearch.errors import listed
from hpsearch_sigopt.metrics import Metrics
from hpsearch_sigopt.options import SigOptOptions
from hpsearch_sigopt.space import SigOptSpace

if TYPE_CHECKING:
    from hpsearch.study.study import Study

logger = logging.getLogger("hpsearch")

_SERVER_KEYS = ("project", "metadata", "parallel_bandwidth")


def said(study: Study, options: SigOptOptions, *names: str) -> Any:
    """Return an option or, where it is not given, what the user's own experiment has there.

    Args:
        study: The search; its space may have been given as a whole experiment.
        options: The backend's options.
        names: What it is called, as an option first.
    """
    option = getattr(options, names[0], None)
    if option is not None:
        return option
    own = study.native_space if isinstance(study.native_space, Mapping) else {}
    return next((own[name] for name in names if own.get(name) is not None), None)


def experiment_body(
    study: Study, options: SigOptOptions, space: SigOptSpace, metrics: Metrics
) -> dict[str, Any]:
    """Return what ``connection.experiments().create`` takes."""
    budget = said(study, options, "observation_budget", "budget")
    body: dict[str, Any] = {
        "name": said(study, options, "name") or study.name,
        "parameters": space.parameters,
        "metrics": metrics.definitions,
        "conditionals": space.conditionals,
        "linear_constraints": space.linear_constraints,
        "observation_budget": study.n_trials if budget is None else budget,
        "type": said(study, options, "type"),
        "num_solutions": said(study, options, "num_solutions"),
    }
    for_server = {name: said(study, options, name) for name in _SERVER_KEYS}
    if options.on_server:
        bandwidth = for_server["parallel_bandwidth"] or study.n_workers or 1
        body |= {**for_server, "parallel_bandwidth": bandwidth}
    elif any(for_server.values()):
        unused = [name for name, value in for_server.items() if value is not None]
        logger.warning("the experiment also has %s, which only a server uses", listed(unused))
    return {name: value for name, value in body.items() if value not in (None, [])}
