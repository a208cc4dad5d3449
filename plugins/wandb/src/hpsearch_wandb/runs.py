"""The W&B run of each trial: opened when it starts, fed with its reports, finished when it ends."""

from __future__ import annotations

import os
import secrets
import string
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from hpsearch.errors import OptionError
from hpsearch.execution.environment import environment
from hpsearch.study.outcome import TrialState

if TYPE_CHECKING:
    import wandb

    from hpsearch.study.record import TrialRecord
    from hpsearch.study.study import Study
    from hpsearch_wandb.options import Mode, WandbOptions
    from hpsearch_wandb.sweep import Sweep

STEP = "step"
"""The name under which a report's step is logged."""


class Runs(Protocol):
    """Keeps a W&B run for each trial."""

    sweep_id: str

    def open(self, trial: TrialRecord) -> None:
        """Open the trial's run, which becomes ``trial.native``."""

    def finish(self, trial: TrialRecord) -> None:
        """Finish the trial's run; a trial of an earlier search has none."""

    def close(self) -> None:
        """Finish what the search left open when it broke, and release everything."""


class OfflineRuns:
    """The runs of an offline sweep, grouped under one sweep id, ready for ``wandb sync``.

    Attributes:
        sweep_id: The sweep's id: given, that of the study's earlier trials, or a new one.
    """

    def __init__(self, study: Study, sweep: Sweep, options: WandbOptions, mode: Mode) -> None:
        _check_folder(options)
        self.sweep_id = options.sweep_id or _earlier(study) or new_id()
        self._study = study
        self._sweep = sweep
        self._options = options
        self._mode = mode
        self._group = options.group or self.sweep_id
        self._open: dict[int, wandb.Run] = {}
        self._closing = ExitStack()
        self._closing.enter_context(_everywhere(mode, self._group))
        # W&B says some twenty lines of each offline run, unless the user wants them.
        self._quiet: dict[str, Any] = {} if "WANDB_SILENT" in os.environ else {"silent": True}

    def open(self, trial: TrialRecord) -> None:
        """Open the trial's run; it is ``wandb.run`` unless another run is open already."""
        import wandb

        options = self._options
        run = wandb.init(
            mode=self._mode,
            project=self._sweep.project,
            entity=self._sweep.entity,
            group=self._group,
            name=f"run-{trial.id}",
            tags=list(options.tags),
            dir=None if options.dir is None else os.fspath(options.dir),
            config=config_of(trial, self._study),
            reinit="create_new" if self._open or wandb.run is not None else "default",
            settings=wandb.Settings(sweep_id=self.sweep_id, **self._quiet),
        )
        prepare(run, self._sweep.report_name)
        self._open[trial.number] = run
        trial.native = run
        self._study.history.annotate(
            trial, "wandb", {"sweep": self.sweep_id, "run": run.id, "dir": run.settings.sync_dir}
        )

    def finish(self, trial: TrialRecord) -> None:
        """Finish the trial's run, if it has one: a trial of an earlier search has none."""
        run = self._open.get(trial.number)
        if run is not None:
            finish(run, trial, self._sweep.metric)
            del self._open[trial.number]

    def close(self) -> None:
        """Finish what the search left open when it broke; whatever that meets, restore W&B."""
        for run in self._open.values():
            self._closing.callback(abandon, run)
        self._open.clear()
        self._closing.close()


@contextmanager
def _everywhere(mode: Mode, group: str) -> Iterator[None]:
    """Have what an objective opens itself in the same mode, in worker processes in the same group.

    Here W&B has read its environment already, so its settings say it; there the environment does.
    """
    import wandb

    settings = wandb.setup().settings
    mode_before, settings.mode = settings.mode, mode
    try:
        with environment({"WANDB_MODE": mode, "WANDB_RUN_GROUP": group}):
            yield
    finally:
        settings.mode = mode_before


def _check_folder(options: WandbOptions) -> None:
    """Make the folder: W&B goes to a temporary one if it cannot write, and says so in its log."""
    folder = options.dir or os.environ.get("WANDB_DIR")
    try:
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OptionError(f"W&B cannot write into the folder {str(folder)!r}: {error}") from error


def new_id() -> str:
    """Return an id of W&B's form, not from the random numbers of the search."""
    return "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(8))


def config_of(trial: TrialRecord, study: Study) -> dict[str, Any]:
    """Return a trial's parameters as W&B's config has them, nested ones nested."""
    space = study.space
    if space is None:
        return dict(trial.params)
    flat = {
        name: value
        for name, value in trial.params.items()
        if name.rpartition(".")[0] not in space.groups
    }
    return {**flat, **space.nested(trial.params)}


def prepare(run: wandb.Run, report_name: str) -> None:
    """Make a run ready for its trial.

    A report has a step of its own, since other callbacks log into the run as well. The run stays
    open to the end of the trial: transformers' ``WandbCallback`` and a ``with wandb.init()`` in the
    objective finish whatever run is open, and the callback would go on in a second one.
    """
    run.define_metric(report_name, step_metric=STEP)
    # The one private name: ``finish`` and ``__exit__`` both end here. Tried with wandb 0.31.
    vars(run)["_finish"] = _stay_open


def release(run: wandb.Run) -> None:
    """Let a run be finished again."""
    vars(run).pop("_finish", None)


def abandon(run: wandb.Run) -> None:
    """Finish the run of a trial whose end nobody reported."""
    release(run)
    run.finish(exit_code=1)


def report(run: wandb.Run, name: str, step: int, value: float) -> None:
    """Log a report into the history of a run."""
    run.log({name: value, STEP: step})


def finish(run: wandb.Run, trial: TrialRecord, metric: str) -> None:
    """Write how a trial ended into its run, and finish it: with an exit code of 1 if it failed."""
    run.summary.update({"trial": trial.number, "state": str(trial.state)})
    if trial.objectives is not None:
        (run.summary[metric],) = trial.objectives
    release(run)
    run.finish(exit_code=1 if trial.state is TrialState.FAILED else 0)


def _stay_open(exit_code: int | None = None) -> None:
    """Take the place of a run's own way to finish while its trial runs."""


def _earlier(study: Study) -> str | None:
    """Return the sweep id of the trials that a resumed study has."""
    for trial in study.trials:
        noted = trial.attrs.get("wandb")
        if noted is not None:
            return str(noted["sweep"])
    return None
