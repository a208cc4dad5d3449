"""Training a trial a second time, to check that it gives the same result."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from hpsearch.errors import HpsearchError, ReplayError, SearchAborted, described
from hpsearch.study.channel import Channel
from hpsearch.study.serial import record_from_dict
from hpsearch.study.trial import Trial

if TYPE_CHECKING:
    from hpsearch.space.distributions import Distribution

Values = tuple[float, ...]


class Replay(Channel):
    """The channel of a trial's second training, which tells the study nothing.

    Every suggestion is that of the first training, and every report is compared with those of the
    first one.

    Args:
        trial: The trial after its first training.
        objectives: What this gave; None where it was pruned.
        start: The part of the record that was there before.
        causes: What is known to have changed from the first training to the second.
    """

    def __init__(
        self,
        trial: Trial,
        objectives: Values | None,
        start: Mapping[str, Any],
        causes: list[str],
    ) -> None:
        self._first = trial.record
        self._derived = trial.derived
        self._objectives = objectives
        self._record = record_from_dict(start)
        self._causes = causes

    @contextmanager
    def trial(self) -> Iterator[Trial]:
        """Lend the trial that is trained again.

        Raises:
            ReplayError: The second training failed.
        """
        trial = Trial(self._record, self)
        if self._derived:
            trial.derive(self._derived)
        try:
            yield trial
        except (HpsearchError, SearchAborted):
            raise
        except Exception as error:
            raise ReplayError(
                f"trial {self._first.number} was trained twice, and the second training failed: "
                f"{described(error)}"
            ) from error
        finally:
            trial.close()

    def check_end(self, objectives: Values | None) -> None:
        """Compare how the trainings ended.

        Raises:
            ReplayError: They ended differently.
        """
        missing = self._first.intermediate.keys() - self._record.intermediate.keys()
        if missing:
            step = min(missing)
            self._refuse(f"at step {step}", self._first.intermediate[step], None)
        if repr(objectives) != repr(self._objectives):
            self._refuse("at the end", self._objectives, objectives)

    def report(self, step: int, values: Values, checkpoint: str | None = None) -> bool:
        """Compare a report.

        Raises:
            ReplayError: The first training reported something else at this step.
        """
        first = self._first.intermediate.get(step)
        if repr(values) != repr(first):  # NaN is not equal to itself
            self._refuse(f"at step {step}", first, values)
        self._record.report(step, values)
        return self._objectives is None and step == max(self._first.intermediate)

    def suggest(self, name: str, distribution: Distribution) -> Any:
        value = self._first.params[name]
        self._record.suggest(name, value, distribution)
        return value

    def derive(self, values: Mapping[str, Any]) -> None:
        self._record.derive(values)

    def constrain(self, name: str, value: float) -> None:
        self._record.constrain(name, value)

    def annotate(self, name: str, value: Any) -> None:
        self._record.annotate(name, value)

    def stop(self) -> None:
        """Do nothing: the first training has asked for it."""

    def agree(self, name: str, decide: Callable[[], Any]) -> Any:
        """Answer as in the first training, but name a folder for the second one."""
        return f"{self._first.attrs[name]}/replay" if name == "run_name" else decide()

    def _refuse(self, where: str, first: Values | None, second: Values | None) -> NoReturn:
        causes = "; ".join(self._causes) or (
            "algorithms that are not deterministic on this device (see full_determinism), random "
            "numbers that no seed sets, or files and services that changed"
        )
        raise ReplayError(
            f"trial {self._first.number} was trained twice with the same parameters and seed, and "
            f"the results differ {where}: {_shown(first)} at first, then {_shown(second)}. "
            f"Possible causes: {causes}"
        )


def delete_folder(trial: Trial) -> None:
    """Delete what a second training has left, in the folder that it named as its own."""
    if "output_dir" in trial.attrs:
        folder = Path(trial.attrs["output_dir"])
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # the first training may have left something in its own
            folder.parent.rmdir()


def _shown(values: Values | None) -> str:
    if values is None:
        return "nothing"
    return repr(values[0]) if len(values) == 1 else repr(values)
