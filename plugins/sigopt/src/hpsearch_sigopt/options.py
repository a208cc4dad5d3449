"""The options of the backend, and where a search with them runs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hpsearch.errors import OptionError, listed
from hpsearch.validators import check_options, flag, items, mapping, one_of, text, whole

_SERVER_ONLY = ("api_url", "api_token", "client_id", "project", "experiment_id", "proxies")


@dataclass(frozen=True, slots=True)
class SigOptOptions:
    """What goes to ``sigopt.Connection`` and to the experiment that it creates.

    Attributes:
        driver: ``"lite"`` runs SigOpt's optimiser in this process, ``"server"`` talks to a server
            of SigOpt's API. None is ``"server"`` where an option or the environment names one.
        api_url: The server; ``SIGOPT_API_URL`` if None.
        api_token: The token for it; ``SIGOPT_API_TOKEN``, or the client's own configuration, if
            None.
        client_id: The client on the server to create the experiment for.
        project: The project on the server to create the experiment in; for ``runs``, which need
            one, ``SIGOPT_PROJECT`` if None.
        experiment_id: Continue this experiment on the server instead of creating one.
        runs: Make each trial a run of an AI experiment, as ``sigopt.create_experiment().loop()``
            does, instead of an observation of an experiment.
        proxies: Proxies for the client, by scheme.
        metrics: Metrics as SigOpt writes them; names alone may be given. The optimised ones stand
            for the search's directions, in order. None is one metric, ``"objective"``.
        linear_constraints: Linear constraints between parameters as SigOpt writes them.
        observation_budget: How many observations SigOpt plans with, and after how many the search
            ends; ``n_trials`` if None.
        parallel_bandwidth: How many suggestions may be open at a time on a server; ``n_workers``
            if None. In this process it is 1.
        type: ``"offline"`` optimises, ``"random"`` draws at random.
        num_solutions: How many different good solutions to look for.
        compute_mode: ``"kde_only"`` makes the optimiser in this process use its density
            estimator instead of Gaussian processes.
    """

    driver: str | None = None
    api_url: str | None = None
    api_token: str | None = field(default=None, repr=False)
    client_id: str | None = None
    project: str | None = None
    experiment_id: str | None = None
    runs: bool = False
    # Their URLs may hold a password.
    proxies: Mapping[str, str] | None = field(default=None, repr=False)
    metrics: Sequence[str | Mapping[str, Any]] | None = None
    linear_constraints: Sequence[Mapping[str, Any]] | None = None
    observation_budget: int | None = None
    parallel_bandwidth: int | None = None
    type: str | None = None
    num_solutions: int | None = None
    compute_mode: str = "default"

    def __post_init__(self) -> None:
        if isinstance(self.experiment_id, int) and not isinstance(self.experiment_id, bool):
            object.__setattr__(self, "experiment_id", str(self.experiment_id))
        self._check_kinds()
        if self.on_server:
            self._check_server()
        else:
            self._check_lite()

    @property
    def url(self) -> str | None:
        """The server's URL, from the option or the environment."""
        return self.api_url or os.environ.get("SIGOPT_API_URL") or None

    @property
    def token(self) -> str | None:
        """The token, from the option or the environment."""
        return self.api_token or os.environ.get("SIGOPT_API_TOKEN") or None

    @property
    def home(self) -> str | None:
        """The project, from the option or, for runs, the environment."""
        return self.project or (os.environ.get("SIGOPT_PROJECT") or None if self.runs else None)

    @property
    def on_server(self) -> bool:
        """Whether the search talks to a server."""
        if self.driver is not None:
            return self.driver == "server"
        return self.url is not None or self.api_token is not None

    def _check_kinds(self) -> None:
        grid = "; backend='grid' searches a grid" if self.type == "grid" else ""
        check_options(self, one_of, "driver", known=("lite", "server"))
        check_options(self, one_of, "type", known=("offline", "random"), hint=grid)
        check_options(self, one_of, "compute_mode", known=("default", "kde_only"))
        check_options(self, text, "api_url", "client_id", "project", "experiment_id")
        check_options(self, text, "api_token", secret=True)
        counts = ("observation_budget", "parallel_bandwidth", "num_solutions")
        check_options(self, whole, *counts, least=1)
        check_options(self, flag, "runs")
        check_options(self, items, "metrics", "linear_constraints")
        check_options(self, mapping, "proxies", kind="URLs by scheme", secret=True)

    def _check_server(self) -> None:
        if self.url is None:
            raise OptionError(
                "api_url is missing: SigOpt's own service has ended. Give the URL of a server of "
                "its API, set SIGOPT_API_URL, or use driver='lite'"
            )
        if self.compute_mode != "default":
            raise OptionError("compute_mode is for driver='lite'; a server has its own")
        if self.runs and self.home is None:
            raise OptionError("runs=True needs project=, in which the server keeps the runs")
        if self.runs and self.client_id is not None:
            raise OptionError("client_id is not for runs=True: runs are of the token's own client")

    def _check_lite(self) -> None:
        given = [name for name in _SERVER_ONLY if getattr(self, name) is not None]
        given += ["runs"] if self.runs else []
        if given:
            need = "needs" if len(given) == 1 else "need"
            raise OptionError(
                f"{listed(given)} {need} a server; give api_url= (or set SIGOPT_API_URL) with "
                "driver='server', or leave it out"
            )
        if self.parallel_bandwidth not in (None, 1):
            raise OptionError(
                f"parallel_bandwidth is {self.parallel_bandwidth}; SigOpt's optimiser in this "
                "process has one suggestion open at a time, a server any number"
            )
        if (self.num_solutions or 1) > 1 and self.compute_mode != "kde_only":
            raise OptionError(
                f"num_solutions is {self.num_solutions}; in this process that needs "
                "compute_mode='kde_only' (sigoptlite 0.1.2 fails with its Gaussian processes)"
            )
