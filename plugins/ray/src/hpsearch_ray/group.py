"""One trial in several workers together, which Ray Train starts and connects.

In the trial's own process, :func:`run_together` waits for them. Each worker runs the evaluation:
the first one talks to the study, the others read at the broker what it was answered.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch.errors import HpsearchError, TrialPruned
from hpsearch.execution.forks import run_in_this_process
from hpsearch.execution.messages import MessageChannel
from hpsearch.study.outcome import Outcome, TrialState
from hpsearch.study.serial import (
    outcome_from_dict,
    outcome_to_dict,
    plain,
    record_from_dict,
)
from hpsearch_ray import broker
from hpsearch_ray.metrics import STEP, as_metrics
from hpsearch_ray.object_ref import received
from hpsearch_ray.placement import HOLDS, held_here

if TYPE_CHECKING:
    from hpsearch.execution.messages import Message
    from hpsearch.study.channel import Channel
    from hpsearch.study.record import TrialRecord


_SETTINGS = {
    # Ray Train looks every 2 s at its workers, also for their end: a third of a short trial.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    # A worker that reports alone would wait for ever.
    "RAY_TRAIN_COLLECTIVE_TIMEOUT_S": "600",
}


@dataclass(frozen=True, slots=True)
class Group:
    """The workers of one trial.

    Attributes:
        size: How many there are.
        resources: What each of them needs, by Ray's own names.
        folder: The user's working directory.
        storage_path: Where Ray keeps its files; None is its own default.
        storage_filesystem: A ``pyarrow.fs.FileSystem`` for it.
    """

    size: int
    resources: Mapping[str, float]
    folder: str
    storage_path: str | None
    storage_filesystem: Any = field(repr=False)


class LeftTrial(Exception):  # noqa: N818 - the broker is told why
    """A worker left its trial, and the others cannot go on without it."""


def run_together(
    group: Group, search: str, trial: str, payload: Mapping[str, Any], channel: Channel
) -> Outcome:
    """Run a trial in a group of workers, and wait for its end.

    Args:
        group: The workers.
        search: Under what name they find the search's evaluation and its broker.
        trial: Ray's name of the trial.
        payload: The trial.
        channel: Where what a worker that left the trial alone had still to say is said.

    Returns:
        The outcome of the worker that was first to leave the trial alone, because it failed or
        pruned itself, else that of all.
    """
    from ray import train, tune
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.tune.integration import ray_train

    from hpsearch_ray.train import GroupTrainer

    to_tune: Any = ray_train.TuneReportCallback  # Ray has no types for it.
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    experiment = tune.get_context().get_experiment_name()
    trainer = GroupTrainer(
        _take_part,
        train_loop_config={
            "search": search,
            "trial": trial,
            "payload": payload,
            "folder": group.folder,
        },
        scaling_config=ScalingConfig(
            num_workers=group.size,
            use_gpu=bool(group.resources.get("GPU")),
            resources_per_worker=dict(group.resources),
        ),
        run_config=RunConfig(
            name=f"{experiment}/group-{trial}",
            storage_path=group.storage_path,
            storage_filesystem=group.storage_filesystem,
            failure_config=FailureConfig(max_failures=0),  # what is tried again is the study's
            callbacks=[to_tune()],
        ),
    )
    died: Exception | None = None
    try:
        trainer.fit()
    except train.TrainingFailedError as failed:
        died = _death(failed)
    ending = broker.ending(search, trial)
    if ending is None or died is not None:
        return Outcome.failed(died or HpsearchError("the trial's workers ended without a word"))
    for name, fact in ending["facts"].items():
        channel.annotate(name, fact)
    if ending["stopped"]:
        channel.stop()
    outcome: Outcome = outcome_from_dict(ending["outcome"])
    return outcome


def _death(failed: Exception) -> Exception | None:
    """Return what happened to the workers, None if all that did left the trial in order."""
    failures = getattr(failed, "worker_failures", {0: failed})
    deaths = [error for error in failures.values() if not isinstance(error, LeftTrial)]
    return deaths[0] if deaths else None


def _take_part(config: Mapping[str, Any]) -> None:
    """Run the evaluation in one of the workers."""
    from ray import train

    if Path(config["folder"]).is_dir():
        os.chdir(config["folder"])
    rank = train.get_context().get_world_rank()
    record = record_from_dict(config["payload"])
    search, trial = config["search"], config["trial"]
    channel = MemberChannel(record, search, trial, rank)
    if rank == 0:
        broker.ask(search, trial, {"call": HOLDS, "group": held_here()})
    outcome = run_in_this_process(received(search).run, record, channel)
    pruned_alone = outcome.state is TrialState.PRUNED and not channel.told_to_prune
    alone = pruned_alone or outcome.state is TrialState.FAILED
    if rank and alone:
        channel.facts["left_by_rank"] = rank
    channel.leave(outcome, alone=alone)
    if alone:
        raise LeftTrial(f"rank {rank} left the trial")


class MemberChannel(MessageChannel):
    """A worker's way to the study: the first one asks, and the others get the same answers.

    Args:
        record: The trial's record in this process.
        search: The name under which the broker is found.
        trial: Ray's name of the trial.
        rank: Which worker this is.
    """

    def __init__(self, record: TrialRecord, search: str, trial: str, rank: int) -> None:
        super().__init__(record, self._ask if rank == 0 else self._read)
        self._search = search
        self._of_trial = trial
        self._rank = rank
        self.told_to_prune = False
        self.facts: dict[str, Any] = {}
        self.stopped = False

    def report(self, step: int, values: tuple[float, ...], checkpoint: str | None = None) -> bool:
        """Report to the study and, together with the other workers, to Ray.

        Raises:
            TrialPruned: The study wants the trial stopped.
        """
        from ray import train

        self.told_to_prune = super().report(step, values)
        train.report({**as_metrics(values), STEP: step})
        if self.told_to_prune:
            raise TrialPruned
        return False

    def annotate(self, name: str, value: Any) -> None:
        if self._rank == 0:
            super().annotate(name, value)
        else:
            self.facts[name] = plain(f"the fact {name!r} is", value)
            self._record.annotate(name, self.facts[name])

    def derive(self, values: Mapping[str, Any]) -> None:
        if self._rank == 0:
            super().derive(values)
        else:
            self._record.derive(values)

    def constrain(self, name: str, value: float) -> None:
        if self._rank == 0:
            super().constrain(name, value)
        else:
            self._record.constrain(name, value)

    def stop(self) -> None:
        if self._rank == 0:
            super().stop()
        else:
            self.stopped = True

    def agree(self, name: str, decide: Callable[[], Any]) -> Any:
        key = f"agree {name}"
        if self._rank == 0:
            return broker.share(self._search, self._of_trial, key, {"value": decide()})["value"]
        return broker.read(self._search, self._of_trial, key)["value"]

    def leave(self, outcome: Outcome, *, alone: bool) -> None:
        """Say how the trial ended here."""
        ending = {
            "outcome": outcome_to_dict(outcome),
            "facts": self.facts if alone else {},
            "stopped": self.stopped and alone,
        }
        if alone or self._rank == 0:
            broker.leave(self._search, self._of_trial, ending, alone=alone)

    def _ask(self, message: Message) -> Message:
        reply = broker.ask(self._search, self._of_trial, message)
        key = _key_of(message)
        if key is not None:
            broker.share(self._search, self._of_trial, key, reply)
        return reply

    def _read(self, message: Message) -> Message:
        key = _key_of(message)
        assert key is not None  # what only the first worker says is not sent from here
        reply = broker.read(self._search, self._of_trial, key)
        return {**reply, "request": message["request"]}  # it was another worker's


def _key_of(message: Message) -> str | None:
    """Return under what the others find the answer, None if there is nothing in it for them."""
    about = {"report": "step", "suggest": "name"}.get(message["call"])
    return None if about is None else f"{message['call']} {message[about]}"
