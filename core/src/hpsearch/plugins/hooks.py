"""Calling hooks: one plugin manager for each search, and the walk over its implementations.

pluggy collects and checks the implementations. The walk is ours: pluggy calls the last registered
first and stops at the first that raises, while a search needs the order journal, backend, pruner,
observers, and an observer that fails must not silence the others.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from operator import itemgetter
from typing import Any

import pluggy

from hpsearch.errors import (
    BackendError,
    HpsearchError,
    SearchTerminated,
    described,
    listed,
    nearest,
)
from hpsearch.plugins import hookspecs

logger = logging.getLogger("hpsearch")


class Role(IntEnum):
    """What a plugin is in a search; plugins answer in this order."""

    JOURNAL = 0
    BACKEND = 1
    PRUNER = 2
    OBSERVER = 3
    CORE = 4


class RegisteredPlugin:
    """A plugin of one search, and how it is named in errors.

    It hands out the plugin's hook implementations to pluggy, which takes no plugin twice and goes
    by equality: to a search two equal observers are two.

    Attributes:
        plugin: The plugin itself.
        role: What it is in the search.
        label: How errors name it, with distribution and version.
        silenced: Whether it has raised, and is left out of the rest of the search.
    """

    def __init__(self, plugin: object, role: Role, label: str) -> None:
        self.plugin = plugin
        self.role = role
        self.label = label
        self.silenced = False
        for name in hookspecs.marked(plugin):
            setattr(self, name, getattr(plugin, name))


@dataclass(frozen=True, slots=True)
class _Implementation:
    member: RegisteredPlugin
    function: Callable[..., Any]
    taken: Callable[[dict[str, Any]], tuple[Any, ...]]


class _Manager(pluggy.PluginManager):
    """Passes over what is no hook: most of a search's start.

    pluggy looks up in a dozen steps each name that a module or an object has.
    """

    def parse_hookimpl_opts(self, plugin: object, name: str) -> Any:
        return None if name.startswith("__") else super().parse_hookimpl_opts(plugin, name)

    def parse_hookspec_opts(self, module_or_class: Any, name: str) -> Any:
        is_hook = name in hookspecs.HOOKS
        return super().parse_hookspec_opts(module_or_class, name) if is_hook else None


class Hooks:
    """The plugins of one search, and the calls to them."""

    def __init__(self) -> None:
        self._manager = _Manager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._members: list[RegisteredPlugin] = []
        self._walks: dict[tuple[str, Role | None], tuple[_Implementation, ...]] = {}

    def register(self, plugin: object, role: Role, label: str) -> None:
        """Add a plugin.

        Args:
            plugin: An object with methods (or a module with functions) marked ``@hookimpl``.
            role: Decides the order, and whether an error ends the search.
            label: How errors name it, with distribution and version.

        Raises:
            BackendError: A hook is misspelt, has a signature that is not its, or wraps others.
        """
        member = RegisteredPlugin(plugin, role, label)
        try:
            self._manager.register(member, name=f"{role}:{len(self._members)}:{label}")
            self._manager.check_pending()
        except (pluggy.PluginValidationError, ValueError) as error:
            raise BackendError(f"{label} does not fit the hooks: {_reason(error)}") from error
        self._members.append(member)
        implementations = [
            implementation
            for hook in hookspecs.HOOKS
            for implementation in getattr(self._manager.hook, hook).get_hookimpls()
            if implementation.plugin is member
        ]
        for implementation in implementations:
            _check_implementation(label, implementation)
        if not implementations and role is not Role.CORE:
            raise BackendError(
                f"{label} implements no hook. Mark methods with @hpsearch.hookimpl; "
                f"the hooks are {listed(hookspecs.HOOKS)}"
            )
        self._walks.clear()

    def each(self, hook: str, role: Role | None = None, **arguments: Any) -> list[Any]:
        """Call every implementation, or those of one role, in order; return what is not None."""
        answers = []
        for implementation in self._walk(hook, role):
            answer = self._call(hook, implementation, arguments)
            if answer is not None:
                answers.append(answer)
        return answers

    def first(self, hook: str, **arguments: Any) -> Any:
        """Return the first answer that is not None, else None."""
        for implementation in self._walk(hook, None):
            answer = self._call(hook, implementation, arguments)
            if answer is not None:
                return answer
        return None

    def members(self) -> list[RegisteredPlugin]:
        """Return the plugins in the order in which they answer."""
        return sorted(self._members, key=lambda member: member.role)

    def release(self) -> None:
        """Let go of every plugin, for good.

        pluggy's manager refers to itself, so it and all that it holds, an engine's study with its
        trials among it, would otherwise stay until Python next looks for such circles.
        """
        for member in self._members:
            self._manager.unregister(member)
        self._members.clear()
        self._walks.clear()

    def call_one(self, member: RegisteredPlugin, hook: str, **arguments: Any) -> None:
        """Call one plugin's implementation, if it has one, also if it raised before."""
        for implementation in self._walk(hook, None):
            if implementation.member is member:
                self._call(hook, implementation, arguments, always=True)

    def _walk(self, hook: str, role: Role | None) -> tuple[_Implementation, ...]:
        walk = self._walks.get((hook, role))
        if walk is None:
            implementations = {
                id(implementation.plugin): implementation
                for implementation in getattr(self._manager.hook, hook).get_hookimpls()
            }
            found = [
                _Implementation(member, impl.function, _taker(impl.argnames))
                for member in self.members()
                if (impl := implementations.get(id(member))) is not None
            ]
            walk = tuple(impl for impl in found if role is None or impl.member.role is role)
            self._walks[hook, role] = walk
        return walk

    def _call(
        self,
        hook: str,
        implementation: _Implementation,
        arguments: dict[str, Any],
        *,
        always: bool = False,
    ) -> Any:
        member = implementation.member
        if member.silenced and not always:
            return None
        try:
            return implementation.function(*implementation.taken(arguments))
        except SearchTerminated:  # whatever ran when the signal came did not fail
            raise
        except HpsearchError as error:
            # Said on purpose, in a sentence for the user; only an observer's is not passed on.
            if member.role is not Role.OBSERVER:
                raise
            self._silence(hook, member, error)
        except (Exception, SystemExit) as error:
            if member.role is not Role.OBSERVER:
                raise BackendError(
                    f"{member.label} failed in {hook}: {described(error)}"
                ) from error
            self._silence(hook, member, error)
        return None

    def _silence(self, hook: str, member: RegisteredPlugin, error: BaseException) -> None:
        member.silenced = True
        logger.error(
            "%s failed in %s and is left out of the rest of this search: %s",
            member.label,
            hook,
            described(error),
            exc_info=error,
        )


def _taker(names: Sequence[str]) -> Callable[[dict[str, Any]], tuple[Any, ...]]:
    """Return what takes an implementation's arguments, in its order, out of all that there are."""
    if len(names) > 1:
        return itemgetter(*names)
    if names:
        name = names[0]
        return lambda arguments: (arguments[name],)
    return lambda _: ()


def _check_implementation(label: str, implementation: pluggy.HookImpl) -> None:
    name = implementation.function.__name__
    if implementation.hookwrapper or implementation.wrapper:
        raise BackendError(
            f"{label}: {name} is a hook wrapper; hpsearch calls plain implementations only"
        )
    kinds = (inspect.iscoroutinefunction, inspect.isasyncgenfunction, inspect.isgeneratorfunction)
    if any(is_kind(implementation.function) for is_kind in kinds):
        raise BackendError(
            f"{label}: {name} is a coroutine or a generator, whose body a call does not run; "
            "hpsearch calls plain functions"
        )
    if implementation.tryfirst or implementation.trylast:
        raise BackendError(
            f"{label}: {name} has tryfirst or trylast, and hpsearch calls plugins in one order: "
            "journal, backend, pruner, observers"
        )
    for parameter in inspect.signature(implementation.function).parameters.values():
        # pluggy passes by position what it finds, and would silently leave these out.
        if parameter.kind not in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            raise BackendError(
                f"{label}: {name} takes {parameter}, expected plain named arguments only"
            )


def _reason(error: Exception) -> str:
    text = str(error).replace("\n", " ")
    if "unknown hook" in text:
        written = text.split("'")[1] if "'" in text else text
        return f"{written!r} is not a hook.{nearest(written, hookspecs.HOOKS)}"
    return text
