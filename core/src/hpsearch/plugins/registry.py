"""Finding plugins: entry points are listed without importing any, and only one is loaded."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any

from hpsearch.errors import (
    PIP_LINES,
    ArgumentError,
    BackendError,
    BackendNotFoundError,
    OptionError,
    described,
    listed,
    nearest,
)
from hpsearch.plugins.backend import API_VERSION, ENTRY_POINT_GROUP, Backend, Capabilities
from hpsearch.plugins.hookspecs import HOOKS, marked

PREFERENCE = tuple(PIP_LINES)
"""The order in which a backend is chosen when none is named: upstream's, then SigOpt."""

BUILT_IN = ("random", "grid")
"""What the core brings itself; never chosen silently."""

CORE = "hpsearch"
"""The distribution that brings the built-in backends and executors."""

GROUPS = {"backend": ENTRY_POINT_GROUP, "executor": "hpsearch.executors"}
"""The kinds of plugins that are asked for by name, with the entry-point group of each."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """An installed backend or executor, as package metadata describes it; nothing is imported.

    Attributes:
        kind: ``backend`` or ``executor``.
        name: The name that ``backend=`` or ``executor=`` takes.
        distribution: The distribution that brings it.
        version: That distribution's version.
        target: Where the class is, as ``module:attribute``.
    """

    kind: str
    name: str
    distribution: str
    version: str
    target: str
    _entry_point: EntryPoint

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r} ({self.distribution} {self.version})"

    def imported(self) -> Any:
        """Return what the entry point names.

        Raises:
            BackendError: It cannot be imported.
        """
        try:
            return self._entry_point.load()
        except (Exception, SystemExit) as error:
            raise BackendError(
                f"{self} cannot be imported from {self.target}: {described(error)}. "
                f"Reinstall it with 'pip install --force-reinstall {self.distribution}', or choose "
                f"another {self.kind}; 'hpsearch doctor' shows all"
            ) from error

    def load(self) -> type[Backend]:
        """Import the class and check that it keeps the contract of a backend.

        Raises:
            BackendError: It cannot be imported, speaks another ``api_version``, or states its
                capabilities or options in a form that is not theirs.
        """
        cls = self.imported()
        self._check(cls)
        backend: type[Backend] = cls
        return backend

    def _check(self, cls: Any) -> None:
        if not (inspect.isclass(cls) and issubclass(cls, Backend)):
            raise BackendError(
                f"{self}: {self.target} is {cls!r}, expected a class that inherits from Backend"
            )
        spoken = getattr(cls, "api_version", None)
        if spoken != API_VERSION:
            older = isinstance(spoken, int) and spoken > API_VERSION
            raise BackendError(
                f"{self} speaks api_version {spoken!r}, and this hpsearch speaks {API_VERSION}. "
                f"Run 'pip install --upgrade {'hpsearch' if older else self.distribution}'"
            )
        capabilities = getattr(cls, "capabilities", None)
        if not isinstance(capabilities, Capabilities):
            raise BackendError(
                f"{self} states no capabilities=Capabilities(...); upgrade or fix it"
            )
        if not is_dataclass(getattr(cls, "Options", None)):
            raise BackendError(f"{self} states Options that are not a dataclass; upgrade or fix it")
        check_implemented(str(self), cls, capabilities)


def check_implemented(label: str, cls: type[Any], capabilities: Capabilities) -> None:
    """Raise :class:`BackendError` if a backend declares something that it does not implement."""
    implemented = marked(cls)
    for name in implemented:
        if name not in HOOKS:
            raise BackendError(f"{label}: {name!r} is not a hook.{nearest(name, HOOKS)}")
    needed = {
        "owns_loop": ("hpsearch_run", capabilities.owns_loop),
        "pruning": ("hpsearch_report", capabilities.pruning and not capabilities.owns_loop),
        "define_by_run": ("hpsearch_suggest_parameter", capabilities.define_by_run),
    }
    for capability, (hook, is_needed) in needed.items():
        if is_needed and hook not in implemented:
            raise BackendError(
                f"{label} declares the capability {capability!r} and does not implement {hook}; "
                "write that method, marked @hpsearch.hookimpl, or declare less"
            )
    if not capabilities.owns_loop and "hpsearch_suggest" not in implemented:
        raise BackendError(
            f"{label} does not implement hpsearch_suggest, which every backend needs that does not "
            "run the trials itself; mark the method @hpsearch.hookimpl"
        )


_scanned: dict[tuple[str, ...], tuple[Plugin, ...]] = {}
"""What was found for each ``sys.path``: looking takes milliseconds in a large environment."""


def installed(kind: str = "backend") -> list[Plugin]:
    """Return every installed plugin of a kind, sorted by name, without importing one.

    A name that two distributions offer appears twice.
    """
    path = tuple(sys.path)
    if path not in _scanned:
        _scanned[path] = _scan()
    return [plugin for plugin in _scanned[path] if plugin.kind == kind]


def find(name: str | None) -> Plugin:
    """Return the installed backend of that name, or the preferred one for None.

    Raises:
        BackendNotFoundError: Nobody offers it; the message has the pip lines.
        BackendError: Two distributions offer it.
    """
    if name is not None and not isinstance(name, str):
        raise BackendNotFoundError(f"backend is {name!r}, expected a name such as 'optuna'")
    plugins = [plugin for plugin in installed() if plugin.name in ([name] if name else PREFERENCE)]
    if not plugins:
        # Something may have been installed since the last look, from a notebook say.
        _scanned.clear()
        plugins = [p for p in installed() if p.name in ([name] if name else PREFERENCE)]
    if name is None:
        plugins.sort(key=lambda plugin: PREFERENCE.index(plugin.name))
        plugins = [plugin for plugin in plugins if plugin.name == plugins[0].name]
    if not plugins:
        raise BackendNotFoundError(_not_found(name))
    return _only(plugins)


def find_executor(name: str) -> Plugin:
    """Return the installed executor of that name.

    Raises:
        ArgumentError: Nobody offers it.
        BackendError: Two distributions offer it.
    """
    plugins = [plugin for plugin in installed("executor") if plugin.name == name]
    if not plugins:
        _scanned.clear()
        plugins = [plugin for plugin in installed("executor") if plugin.name == name]
    if not plugins:
        known = [plugin.name for plugin in installed("executor")]
        pip_line = ". 'pip install hpsearch-ray' brings it" if name == "ray" else ""
        raise ArgumentError(
            f"executor {name!r} is unknown.{nearest(name, known)} Known: {listed(known)}{pip_line}"
        )
    return _only(plugins)


def _only(plugins: list[Plugin]) -> Plugin:
    built_in = [plugin for plugin in plugins if plugin.distribution == CORE]
    if built_in:  # nobody else's use of its name takes it away
        return built_in[0]
    if len(plugins) > 1:
        owners = " and ".join(f"{plugin.distribution} {plugin.version}" for plugin in plugins)
        raise BackendError(
            f"{plugins[0].kind} {plugins[0].name!r} is offered by {owners}. "
            "Uninstall all but one of them"
        )
    return plugins[0]


def read_options(
    plugin: object,
    cls: Any,
    given: dict[str, Any],
    others: Iterable[str] = (),
    elsewhere: Callable[[str], str] | None = None,
    *,
    instead: Mapping[str, str] = MappingProxyType({}),
) -> Any:
    """Return the typed options of a backend or an executor.

    Args:
        plugin: Where it comes from, for messages.
        cls: Its class.
        given: Its options as the user wrote them.
        others: Names that are no options of it, and may have been meant.
        elsewhere: From an unknown name to what more the error says about it.
        instead: What to write instead of some names.

    Raises:
        OptionError: An option is unknown, missing, or has a value that is refused.
        BackendError: The options cannot be read for another reason.
    """
    known = [field.name for field in fields(cls.Options)]
    for name in given:
        if name in instead:
            raise OptionError(f"{name} is set elsewhere in hpsearch: {instead[name]}")
        if name not in known:
            raise OptionError(
                f"{plugin} has no option {name!r}.{nearest(name, [*known, *others])} "
                f"Its options: {listed(known)}{elsewhere(name) if elsewhere else ''}"
            )
    try:
        return cls.Options(**given)
    except OptionError:
        raise
    except (TypeError, ValueError) as error:
        raise OptionError(f"{plugin} refuses its options: {error}") from error
    except (Exception, SystemExit) as error:
        raise BackendError(f"{plugin} failed to read its options: {described(error)}") from error


def _scan() -> tuple[Plugin, ...]:
    found = []
    every = entry_points()  # looks through all packages, so it is called once
    for kind, group in GROUPS.items():
        for entry in every.select(group=group):
            name, version = (entry.dist.name, entry.dist.version) if entry.dist else ("?", "?")
            found.append(Plugin(kind, entry.name, name, version, entry.value, entry))
    return tuple(sorted(found, key=lambda plugin: (plugin.name, plugin.distribution)))


def _not_found(name: str | None) -> str:
    if name in PIP_LINES:
        return f"backend {name!r} is not installed. Run: {PIP_LINES[name]}"
    pip_lines = "\n".join(f"  {line}" for line in PIP_LINES.values())
    builtin = "the built-in backends, backend='random' and backend='grid', need nothing more"
    if name is None:
        return f"no backend is installed. Install one:\n{pip_lines}\nor name one of {builtin}"
    names = [plugin.name for plugin in installed()]
    return (
        f"no backend is called {name!r}.{nearest(name, [*names, *PREFERENCE])} "
        f"Installed: {listed(names)}. Others:\n{pip_lines}"
    )
