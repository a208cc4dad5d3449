"""The W&B server of an online search: logging in, and creating or finding the sweep there."""

from __future__ import annotations

import logging
import os
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from hpsearch.errors import BackendError, OptionError, SpaceError
from hpsearch_wandb.dialect import WandbDialect, nested
from hpsearch_wandb.options import url_of
from hpsearch_wandb.parameters import encode

if TYPE_CHECKING:
    import wandb

    from hpsearch.space.distributions import Distribution
    from hpsearch.space.space import Space
    from hpsearch.study.record import TrialRecord
    from hpsearch.study.study import Study
    from hpsearch_wandb.options import WandbOptions
    from hpsearch_wandb.sweep import Sweep

logger = logging.getLogger("hpsearch")

FACT = "wandb"
"""Under this name each trial keeps where its run is."""

_PATIENCE = 120.0
"""Seconds to wait for the end of W&B's own process."""

_ALIVE = ("RUNNING", "PENDING", "PAUSED")


@dataclass(frozen=True, slots=True)
class ServerSweep:
    """A sweep as the server has it."""

    entity: str
    project: str
    id: str

    @property
    def path(self) -> str:
        """What ``wandb.agent`` and W&B's own commands take."""
        return f"{self.entity}/{self.project}/{self.id}"

    @property
    def fact(self) -> dict[str, str]:
        """What is kept with each trial that has a run in the sweep."""
        return {"entity": self.entity, "project": self.project, "sweep": self.id}

    def missing(self, study: Study) -> set[int]:
        """Return the numbers of the earlier trials of which the sweep has no run.

        Those that had ended when a trial of the sweep began were handed to it then.
        """
        here = [trial for trial in study.trials if self._has(trial)]
        latest = max((trial.started for trial in here), default=0.0)
        return {t.number for t in study.trials if not self._has(t) and (t.ended or 0.0) > latest}

    def _has(self, trial: TrialRecord) -> bool:
        noted = trial.attrs.get(FACT, {})
        return all(noted.get(name) == value for name, value in self.fact.items())


@contextmanager
def environment(options: WandbOptions) -> Iterator[None]:
    """Have W&B read the options from its environment variables; put all back in the end.

    The agent and the runs that it starts read nothing else.

    Raises:
        OptionError: The environment says that W&B is not to be used online.
    """
    import wandb

    mode = os.environ.get("WANDB_MODE", "online")
    if mode not in ("online", "run"):
        raise OptionError(f"mode='online' is asked for, and WANDB_MODE is {mode!r}; unset one")
    if wandb.run is not None:
        logger.warning("W&B's run %s is finished: the sweep's agent opens others", wandb.run.id)
        wandb.finish()
    _tear_down()  # It reads the environment once, when it is first used.
    before = _variables()
    given = {"BASE_URL": options.base_url, "API_KEY": options.api_key, "DIR": options.dir}
    os.environ.update({f"WANDB_{name}": str(value) for name, value in given.items() if value})
    try:
        yield
    finally:
        try:
            _tear_down()
        finally:
            for name in _variables():
                del os.environ[name]
            os.environ.update(before)


def _tear_down() -> None:
    """End W&B's own process, which waits for its last requests, as long as a server may take."""
    import wandb

    problems: list[Exception] = []

    def tear_down() -> None:
        try:
            wandb.teardown()
        except Exception as error:  # noqa: BLE001 - it is raised below, in the caller's thread
            problems.append(error)

    thread = threading.Thread(target=tear_down, name="W&B's teardown", daemon=True)
    thread.start()
    thread.join(_PATIENCE)
    for problem in problems:
        raise problem
    if thread.is_alive():
        logger.warning(
            "W&B's own process has not ended within %g s, and is left to itself", _PATIENCE
        )


def log_in(options: WandbOptions) -> wandb.Api:
    """Return W&B's client of the server, which has accepted the key.

    Raises:
        BackendError: The server does not answer, or refuses the key.
    """
    import wandb
    from wandb.sdk.lib.service.service_connection import WandbApiFailedError

    try:
        return wandb.Api()
    except wandb.errors.Error as error:
        reason = str(error)
        if isinstance(error.__cause__, WandbApiFailedError):
            answer = error.__cause__.response
            reason = (
                "it does not answer" if answer is None else f"it refuses the key: {answer.message}"
            )
        raise BackendError(
            f"the W&B server {url_of(options)} cannot be used: {reason}; mode='offline' needs none"
        ) from error


def create(sweep: Sweep, space: Space) -> ServerSweep:
    """Create the sweep on the server.

    Raises:
        SpaceError: W&B cannot express the space.
        BackendError: The server refuses: the entity or project does not exist, say.
    """
    import wandb

    config = {**sweep.config, "parameters": _parameters(sweep, space)}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # wandb 0.31 calls what it left.
            id = wandb.sweep(config, entity=sweep.entity, project=sweep.project)
    except (wandb.errors.Error, ValueError) as error:
        where = f"entity {sweep.entity!r}, project {sweep.project!r}"
        raise BackendError(f"the W&B server refused the sweep ({where}): {error}") from error
    # Where it is: what was not given, the server has settled.
    return ServerSweep(os.environ["WANDB_ENTITY"], os.environ["WANDB_PROJECT"], id)


def earlier(study: Study) -> str | None:
    """Return the path of the server's sweep that has the study's last trials, None if none has."""
    for trial in reversed(study.trials):
        fact = trial.attrs.get(FACT, {})
        if "entity" in fact:
            return f"{fact['entity']}/{fact['project']}/{fact['sweep']}"
    return None


def find(api: wandb.Api, path: str, sweep: Sweep, space: Space) -> ServerSweep:
    """Return a sweep that the server has already.

    Raises:
        BackendError: There is none, or it has ended.
        SpaceError: It searches another space than the study.
        OptionError: It optimises another metric, or in another direction; or one of the two stops
            runs early and the other does not.
    """
    import wandb

    given = {"entity": sweep.entity, "project": sweep.project}
    api.settings.update({name: value for name, value in given.items() if value})
    try:
        found = api.sweep(path)  # type: ignore[no-untyped-call]
    except (wandb.errors.Error, ValueError) as error:
        raise BackendError(f"the W&B server has no sweep {path!r}: {error}") from error
    if found.state.upper() not in _ALIVE:
        raise BackendError(f"the W&B sweep {path!r} is {found.state.lower()}; start another one")
    config = found.config
    _check_space(path, config, sweep, space)
    _check_metric(path, config.get("metric") or {}, sweep)
    rule = config.get("early_terminate")
    if bool(rule) != bool(sweep.early_terminate):
        raise OptionError(
            f"the W&B sweep {path!r} has early_terminate {rule!r}, and the search "
            f"{sweep.early_terminate!r}"
        )
    return ServerSweep(*found.path)


def _check_space(path: str, config: Mapping[str, Any], sweep: Sweep, space: Space) -> None:
    there = _read(config["method"], config["parameters"])
    here = _read(sweep.method, _parameters(sweep, space))
    for name in {**there, **here}:
        if there.get(name) != here.get(name):
            raise SpaceError(
                f"parameter {name!r} is {there.get(name, 'missing')} in the W&B sweep {path!r}, "
                f"and {here.get(name, 'missing')} in the study"
            )


def _check_metric(path: str, there: Mapping[str, Any], sweep: Sweep) -> None:
    here = sweep.config["metric"]
    for key in ("name", "goal"):
        if key in there and there[key] != here[key]:
            raise OptionError(
                f"the W&B sweep {path!r} has the metric's {key} {there[key]!r}, and the search "
                f"{here[key]!r}"
            )


def _parameters(sweep: Sweep, space: Space) -> Mapping[str, Any]:
    """Return the parameters of the sweep: the user's own words, else W&B's for the space."""
    if sweep.parameters is not None:
        return sweep.parameters
    parameters = nested(space, partial(encode, grid=sweep.method == "grid"))
    _read(sweep.method, parameters)  # It refuses names that W&B does not have.
    return parameters


def _read(method: str, parameters: Mapping[str, Any]) -> Mapping[str, Distribution]:
    return WandbDialect().read({"method": method, "parameters": parameters}).parameters


def _variables() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("WANDB_")}
