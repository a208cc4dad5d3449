"""Where trials run: the contract of executors, and reading what ``executor=`` says.

An executor is a subclass of :class:`Executor`, which takes started trials and hands back their
outcomes, or of :class:`LoopExecutor`, which runs whole searches. Its distribution names the class
in the entry-point group ``hpsearch.executors``. The class is made for each search, with
``n_workers`` (None where the user did not say) and its typed options::

    class MyExecutor(Executor):
        Options = NoOptions  # or a frozen dataclass of its own

        def __init__(self, n_workers, options): ...
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from hpsearch import validators
from hpsearch.errors import ArgumentError, BackendError, HpsearchError, described, listed
from hpsearch.plugins import registry
from hpsearch.plugins.backend import NoOptions

if TYPE_CHECKING:
    from hpsearch.execution.evaluate import Evaluate
    from hpsearch.study.control import Control
    from hpsearch.study.outcome import Outcome
    from hpsearch.study.record import TrialRecord
    from hpsearch.study.study import Study


class Executor(ABC):
    """Runs trials. ``n_workers`` of them may be submitted and not yet waited for.

    Attributes:
        Options: A frozen dataclass: the options that ``search(..., **options)`` accepts for it.
        n_workers: How many trials run at a time.
        no_loop_owner: Why a backend that runs the trials itself does not go together with it; the
            end of the sentence "backend 'ray' runs the trials itself".
    """

    Options: ClassVar[type[Any]] = NoOptions
    no_loop_owner: str = " and takes no executor"
    n_workers: int

    @abstractmethod
    def open(self, control: Control, evaluate: Evaluate) -> None:
        """Get ready; called once, before the first trial."""

    @abstractmethod
    def submit(self, trial: TrialRecord) -> None:
        """Take a trial that has started."""

    @abstractmethod
    def wait(self) -> tuple[TrialRecord, Outcome]:
        """Block until one of the submitted trials has ended, and return it.

        Meanwhile it serves the running trials' channels.
        """

    @abstractmethod
    def close(self) -> None:
        """Release everything; called once, whatever happened."""


class LoopExecutor(ABC):
    """Runs a whole search of an ask/tell backend, where something else keeps the workers busy.

    Attributes:
        Options: A frozen dataclass: the options that ``search(..., **options)`` accepts for it.
        n_workers: How many trials may run at a time, None for as many as there is room for.
        no_loop_owner: As for :class:`Executor`.
    """

    Options: ClassVar[type[Any]] = NoOptions
    no_loop_owner: str = " and takes no executor"
    n_workers: int | None

    @abstractmethod
    def run(self, study: Study, evaluate: Evaluate) -> None:
        """Run trials until none may start and all have ended; called once.

        Each comes from ``study.history.ask()``, until that answers None, with never more open than
        ``study.capabilities.max_parallel``. Their channels are ``study.history.channel(trial)``,
        and ``study.history.tell`` gets each outcome once.
        """


AnyExecutor: TypeAlias = Executor | LoopExecutor


@dataclass(frozen=True, slots=True)
class ExecutorSpec:
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
    def of(cls, executor: Any) -> ExecutorSpec:
        """Find the executor of that name, or take the one given.

        Raises:
            ArgumentError: The name is unknown, or the object is not an executor.
            BackendError: The executor cannot be imported, or does not keep the contract.
        """
        if isinstance(executor, str):
            plugin = registry.find_executor(executor)
            return cls(str(plugin), load_class(plugin))
        if not isinstance(executor, Executor | LoopExecutor):
            raise ArgumentError(
                f"executor is {executor!r}, expected a name such as 'process', or an object whose "
                "class is a subclass of hpsearch.execution.Executor or LoopExecutor"
            )
        return cls(f"executor {type(executor).__name__}", None, executor)

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
                if name in _options_of(load_class(plugin)):
                    said.append(f"; executor={plugin.name!r} has {name!r}")
        return "".join(said)

    def make(self, n_workers: int | None, options: dict[str, Any]) -> AnyExecutor:
        """Return an executor for one search.

        Raises:
            ArgumentError: It cannot have that many workers.
            OptionError: An option has a value that it refuses.
            BackendError: It cannot be made, or does not say how many workers it has.
        """
        made = self.given or self._made(n_workers, options)
        self._check_workers(made)
        if self.given is not None and n_workers not in (None, made.n_workers):
            raise ArgumentError(
                f"n_workers is {n_workers}, and the executor given has {made.n_workers}"
            )
        return made

    def _made(self, n_workers: int | None, options: dict[str, Any]) -> AnyExecutor:
        typed = registry.read_options(self.label, self.cls, options)
        try:
            made: AnyExecutor = self.cls(n_workers, typed)
        except HpsearchError:
            raise
        except (Exception, SystemExit) as error:
            raise BackendError(f"{self.label} failed to start: {described(error)}") from error
        return made

    def _check_workers(self, executor: AnyExecutor) -> None:
        if not hasattr(executor, "n_workers"):
            raise BackendError(f"{self.label} does not set n_workers, the number of its workers")
        if executor.n_workers is not None or isinstance(executor, Executor):
            name = f"n_workers of {self.label}"
            validators.whole(name, executor.n_workers, 1, error=BackendError)


def load_class(plugin: registry.Plugin) -> type[Executor] | type[LoopExecutor]:
    """Import the class of an executor and check that it keeps the contract of one.

    Raises:
        BackendError: It cannot be imported, is not a subclass of :class:`Executor` or
            :class:`LoopExecutor`, or leaves a method out.
    """
    cls = plugin.imported()
    label = str(plugin)
    if not (inspect.isclass(cls) and issubclass(cls, Executor | LoopExecutor)):
        raise BackendError(
            f"{label} is {cls!r}, expected a subclass of hpsearch.execution.Executor or "
            "LoopExecutor"
        )
    if inspect.isabstract(cls):
        raise BackendError(f"{label} does not implement {listed(sorted(cls.__abstractmethods__))}")
    if not is_dataclass(cls.Options):
        raise BackendError(f"{label} states Options that are not a dataclass")
    found: type[Executor] | type[LoopExecutor] = cls
    return found


def _options_of(cls: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(cls.Options))
