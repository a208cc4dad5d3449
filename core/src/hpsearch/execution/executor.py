"""Where trials run: an executor takes started trials and hands back their outcomes.

Its distribution names its class in the entry-point group ``hpsearch.executors``. The class is made
for each search, with ``n_workers`` (None where the user did not say) and its typed options::

    class MyExecutor:
        Options = NoOptions  # or a frozen dataclass of its own

        def __init__(self, n_workers, options): ...
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeAlias, runtime_checkable

from hpsearch.errors import ArgumentError, BackendError, listed
from hpsearch.execution.evaluate import Evaluate, Outcome
from hpsearch.plugins import registry
from hpsearch.plugins.backend import NoOptions

if TYPE_CHECKING:
    from hpsearch.session.coordinator import History
    from hpsearch.study.study import Study
    from hpsearch.study.trial import Trial


class Executor(Protocol):
    """Runs trials. ``n_workers`` of them may be submitted and not yet waited for."""

    n_workers: int

    def open(self, history: History, evaluate: Evaluate) -> None:
        """Get ready; called once, before the first trial."""

    def submit(self, trial: Trial) -> None:
        """Take a trial that has started."""

    def wait(self) -> tuple[Trial, Outcome]:
        """Block until one of the submitted trials has ended, and return it.

        Meanwhile it serves the running trials' channels through the history.
        """

    def close(self) -> None:
        """Release everything; called once, whatever happened."""


@runtime_checkable
class LoopExecutor(Protocol):
    """Runs a whole search of an ask/tell backend, where something else keeps the workers busy.

    ``n_workers`` is how many trials may run at a time, None for as many as there is room for.
    """

    n_workers: int | None

    def run(self, study: Study, evaluate: Evaluate) -> None:
        """Run trials until none may start and all have ended; called once.

        While ``study.history.may_start()``, each comes from ``study.history.ask()``, with never
        more open than ``study.capabilities.max_parallel``. Their channels are served through the
        history, and it is told each outcome once.
        """


AnyExecutor: TypeAlias = Executor | LoopExecutor


class InlineExecutor(Executor):
    """Runs one trial at a time in this process and thread, when it is waited for."""

    Options: ClassVar[type[Any]] = NoOptions

    n_workers = 1

    def __init__(self, n_workers: int | None = None, options: object = None) -> None:
        if n_workers is not None and n_workers > 1:
            raise ArgumentError(
                f"n_workers is {n_workers}, and the inline executor runs one trial at a time; "
                "executor='process' runs several"
            )
        self._submitted: deque[Trial] = deque()

    def open(self, history: History, evaluate: Evaluate) -> None:
        self._history = history
        self._evaluate = evaluate

    def submit(self, trial: Trial) -> None:
        self._submitted.append(trial)

    def wait(self) -> tuple[Trial, Outcome]:
        trial = self._submitted.popleft()
        return trial, self._evaluate.run(trial, self._history.channel(trial))

    def close(self) -> None:
        self._submitted.clear()
        del self._history, self._evaluate


@dataclass(frozen=True, slots=True)
class Place:
    """What ``executor=`` says: the class of an executor, or an executor itself.

    Attributes:
        label: How errors name it.
        cls: The class, None where an executor was given.
        given: The executor that was given, None for a name.
    """

    label: str
    cls: Any
    given: AnyExecutor | None = None

    @classmethod
    def of(cls, executor: Any) -> Place:
        """Find the executor of that name, or take the one given.

        Raises:
            ArgumentError: The name is unknown, or the object is no executor.
            BackendError: The executor cannot be imported.
        """
        if isinstance(executor, str):
            plugin = registry.find_executor(executor)
            return cls(str(plugin), plugin.imported())
        runs = hasattr(executor, "submit") or hasattr(executor, "run")
        if not runs or not hasattr(executor, "n_workers"):
            raise ArgumentError(f"executor is {executor!r}, expected a name or an executor")
        return cls(f"the executor {executor!r}", None, executor)

    @property
    def options(self) -> tuple[str, ...]:
        """The names of its options."""
        return () if self.cls is None else _options_of(self.cls)

    def split(self, given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the options that are its own, and the others."""
        own = {name: value for name, value in given.items() if name in self.options}
        return own, {name: value for name, value in given.items() if name not in own}

    def elsewhere(self, name: str) -> str:
        """Say, of an option that nobody here has, what this executor has and which other has it."""
        said = [f"; those of {self.label}: {listed(self.options)}"] if self.options else []
        for plugin in registry.installed("executor"):
            with suppress(BackendError):  # a broken one is nobody's concern who did not ask for it
                if name in _options_of(plugin.imported()):
                    said.append(f"; executor={plugin.name!r} has {name!r}")
        return "".join(said)

    def make(self, n_workers: int | None, options: dict[str, Any]) -> AnyExecutor:
        """Return an executor for one search.

        Raises:
            ArgumentError: It cannot have that many workers.
            OptionError: An option has a value that it refuses.
        """
        if self.given is None:
            typed = registry.read_options(self.label, self.cls, options)
            made: AnyExecutor = self.cls(n_workers, typed)
            return made
        if n_workers not in (None, self.given.n_workers):
            raise ArgumentError(
                f"n_workers is {n_workers}, and the executor given has {self.given.n_workers}"
            )
        return self.given


def _options_of(cls: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(cls.Options))
