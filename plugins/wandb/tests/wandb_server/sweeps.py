"""What the server keeps, sweeps and runs; and what it proposes, by W&B's own sweep engine."""

from __future__ import annotations

import random
import secrets
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy
import yaml  # type: ignore[import-untyped]

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # The engine is of a time before pydantic 2.
    import sweeps


@dataclass
class Run:
    """A run as the server knows it. ``files`` has what was uploaded, by name."""

    name: str
    config: dict[str, Any] = field(default_factory=dict)
    state: str = "pending"
    exitcode: int | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    fields: dict[str, Any] = field(default_factory=dict)
    should_stop: bool = False

    @property
    def params(self) -> dict[str, Any]:
        """The config's plain values, without what the client adds of its own."""
        return {name: item["value"] for name, item in self.config.items() if name != "_wandb"}

    def for_engine(self) -> sweeps.SweepRun:
        """Return the run in the engine's terms."""
        return sweeps.SweepRun(
            name=self.name,
            state=sweeps.RunState(self.state),
            config={name: item for name, item in self.config.items() if name != "_wandb"},
            history=self.history,
            summary_metrics=self.summary,
        )


@dataclass
class Sweep:
    """A sweep: its config, its state, its runs in the order in which they began.

    Attributes:
        further: What is sent with each run's parameters.
        most_runs: How many runs it proposes before it pauses, None for any number.
        stopped: The runs that an agent was told to stop.
    """

    name: str
    entity: str
    project: str
    config: dict[str, Any]
    state: str = "RUNNING"
    runs: dict[str, Run] = field(default_factory=dict)
    agents: list[str] = field(default_factory=list)
    further: dict[str, Any] = field(default_factory=dict)
    most_runs: int | None = None
    stopped: list[str] = field(default_factory=list)

    @classmethod
    def create(cls, entity: str, project: str, config: str) -> Sweep:
        """Make a sweep from the YAML that the client sends."""
        return cls(secrets.token_hex(4), entity, project, yaml.safe_load(config))

    @property
    def id(self) -> str:
        """The id in GraphQL, which is not the name that users see."""
        return f"sweep:{self.name}"

    def command(self, running: list[str]) -> dict[str, Any] | None:
        """Return what an agent with these runs is to do next, None for nothing."""
        for name in running:
            if self._stops(name):
                return {"type": "stop", "run_id": name}
        if self.state != "RUNNING":
            return {"type": "exit"}
        if running or len(self.runs) == self.most_runs:
            return None
        with _own_random_state(len(self.runs)):
            runs = [run.for_engine() for run in self.runs.values()]
            proposed = sweeps.next_run(self.config, runs)
        if proposed is None:
            self.state = "FINISHED"
            return {"type": "exit"}
        run = Run(secrets.token_hex(4), plain(proposed.config))
        self.runs[run.name] = run
        return {
            "type": "run",
            "run_id": run.name,
            "args": {**run.config, **self.further},
            "program": None,
        }

    def _stops(self, name: str) -> bool:
        run = self.runs[name]
        if run.state != "running" or not (run.should_stop or self._ends_early(name)):
            return False
        if name in self.stopped:
            return False  # It is said once.
        self.stopped.append(name)
        return True

    def _ends_early(self, name: str) -> bool:
        if "early_terminate" not in self.config:
            return False
        runs = [run.for_engine() for run in self.runs.values()]
        return name in {run.name for run in sweeps.stop_runs(self.config, runs)}


@contextmanager
def _own_random_state(seed: int) -> Iterator[None]:
    """Keep the engine's draws from the state that the tests' process shares, and from chance."""
    before = random.getstate(), numpy.random.get_state()  # noqa: NPY002
    random.seed(seed)
    numpy.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(before[0])
        numpy.random.set_state(before[1])  # noqa: NPY002


def plain(value: Any) -> Any:
    """Return the engine's numpy values as Python's own."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    return value.item() if hasattr(value, "item") else value
