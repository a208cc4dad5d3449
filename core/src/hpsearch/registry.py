"""Finding backends: entry points are listed without importing any, and only one is loaded."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable
from dataclasses import dataclass, fields, is_dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from hpsearch.backend import API_VERSION, ENTRY_POINT_GROUP, Backend, Capabilities
from hpsearch.errors import BackendError, BackendNotFoundError, OptionError, listed, nearest

PREFERENCE = ("optuna", "ray", "wandb", "sigopt")
"""The order in which a backend is chosen when none is named: upstream's, then SigOpt."""

BUILT_IN = ("random", "grid")
"""What the core brings itself; never chosen silently."""

_PIP = {name: f"pip install hpsearch-{name}" for name in PREFERENCE}


@dataclass(frozen=True, slots=True)
class Plugin:
    """An installed backend, as its package metadata describes it; nothing is imported.

    Attributes:
        name: The name that ``backend=`` takes.
        distribution: The distribution that brings it.
        version: That distribution's version.
        target: Where the class is, as ``module:attribute``.
    """

    name: str
    distribution: str
    version: str
    target: str
    _entry_point: EntryPoint

    def __str__(self) -> str:
        return f"backend {self.name!r} ({self.distribution} {self.version})"

    def load(self) -> type[Backend]:
        """Import the class and check that it keeps the contract of a backend.

        Raises:
            BackendError: It cannot be imported, speaks another ``api_version``, or states its
                capabilities or options in a form that is not theirs.
        """
        try:
            cls = self._entry_point.load()
        except Exception as error:
            raise BackendError(
                f"{self} cannot be imported from {self.target}: {type(error).__name__}: {error}. "
                f"Reinstall it with 'pip install --force-reinstall {self.distribution}', or choose "
                "another backend; 'hpsearch doctor' shows all"
            ) from error
        self._check(cls)
        backend: type[Backend] = cls
        return backend

    def _check(self, cls: Any) -> None:
        if not inspect.isclass(cls):
            raise BackendError(f"{self}: {self.target} is {cls!r}, expected a class")
        spoken = getattr(cls, "api_version", None)
        if spoken != API_VERSION:
            older = isinstance(spoken, int) and spoken > API_VERSION
            raise BackendError(
                f"{self} speaks api_version {spoken!r}, and this hpsearch speaks {API_VERSION}. "
                f"Run 'pip install --upgrade {'hpsearch' if older else self.distribution}'"
            )
        if not isinstance(getattr(cls, "capabilities", None), Capabilities):
            raise BackendError(
                f"{self} states no capabilities=Capabilities(...); upgrade or fix it"
            )
        if not is_dataclass(getattr(cls, "Options", None)):
            raise BackendError(f"{self} states Options that are no dataclass; upgrade or fix it")


_scanned: dict[tuple[str, ...], tuple[Plugin, ...]] = {}
"""What was found for each ``sys.path``: looking takes milliseconds in a large environment."""


def installed() -> list[Plugin]:
    """Return every installed backend, sorted by name, without importing one.

    A name that two distributions offer appears twice.
    """
    path = tuple(sys.path)
    if path not in _scanned:
        _scanned[path] = _scan()
    return list(_scanned[path])


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
    if len(plugins) > 1:
        owners = " and ".join(f"{plugin.distribution} {plugin.version}" for plugin in plugins)
        raise BackendError(
            f"backend {plugins[0].name!r} is offered by {owners}. Uninstall all but one of them"
        )
    return plugins[0]


def read_options(
    plugin: Plugin, cls: type[Backend], given: dict[str, Any], others: Iterable[str] = ()
) -> Any:
    """Return the backend's typed options.

    Args:
        plugin: Where the backend comes from, for messages.
        cls: The backend.
        given: Its options as the user wrote them.
        others: Names that are no options of a backend, and may have been meant.

    Raises:
        OptionError: An option is unknown, missing, or has a value that the backend refuses.
    """
    known = [field.name for field in fields(cls.Options)]
    for name in given:
        if name not in known:
            raise OptionError(
                f"{plugin} has no option {name!r}.{nearest(name, [*known, *others])} "
                f"Its options: {listed(known)}"
            )
    try:
        return cls.Options(**given)
    except OptionError:
        raise
    except (TypeError, ValueError) as error:
        raise OptionError(f"{plugin} refuses its options: {error}") from error


def _scan() -> tuple[Plugin, ...]:
    found = []
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        name, version = (entry.dist.name, entry.dist.version) if entry.dist else ("?", "?")
        found.append(Plugin(entry.name, name, version, entry.value, entry))
    return tuple(sorted(found, key=lambda plugin: (plugin.name, plugin.distribution)))


def _not_found(name: str | None) -> str:
    if name in _PIP:
        return f"backend {name!r} is not installed. Run: {_PIP[name]}"
    pip_lines = "\n".join(f"  {line}" for line in _PIP.values())
    builtin = "the built-in backends, backend='random' and backend='grid', need nothing more"
    if name is None:
        return f"no backend is installed. Install one:\n{pip_lines}\nor name one of {builtin}"
    names = [plugin.name for plugin in installed()]
    return (
        f"no backend is called {name!r}.{nearest(name, [*names, *PREFERENCE])} "
        f"Installed: {listed(names)}. Others:\n{pip_lines}"
    )
