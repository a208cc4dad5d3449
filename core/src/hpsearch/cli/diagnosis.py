"""What is installed, and whether it works."""

from __future__ import annotations

import contextlib
import json
import platform
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

import click

import hpsearch
from hpsearch.cli.terminal import say
from hpsearch.errors import HpsearchError, described
from hpsearch.execution.executor import load_class
from hpsearch.plugins import registry
from hpsearch.plugins.backend import Backend, Capabilities
from hpsearch.plugins.hooks import Hooks, Role
from hpsearch.plugins.registry import Plugin
from hpsearch.report.text import columns, shown_lines
from hpsearch.space import dialects

COMPANIONS = ("accelerate", "numpy", "pandas", "plotly", "pluggy", "torch", "transformers")
"""What hpsearch works with, in addition to the engines that plugins bring."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found out about one backend, dialect or executor.

    Attributes:
        kind: ``backend``, ``dialect`` or ``executor``.
        name: What it is called.
        distribution: The distribution that brings it.
        version: That distribution's version.
        problem: Why it does not work and what to do, None if it does.
        advice: What would make more of it work, None where all does.
        engines: What the distribution needs, each with its version, None where not installed.
        capabilities: What a backend can do, None if it cannot be loaded.
    """

    kind: str
    name: str
    distribution: str
    version: str
    problem: str | None
    advice: str | None
    engines: dict[str, str | None]
    capabilities: dict[str, Any] | None


def version(distribution: str) -> str | None:
    """Return the installed version of a distribution, None if there is none."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def examine_backends() -> list[Finding]:
    """Load every installed backend, and say what is wrong with those that fail."""
    plugins = registry.installed()
    offers = Counter(plugin.name for plugin in plugins)
    return [_examined(plugin, offers[plugin.name]) for plugin in plugins]


def examine_dialects() -> Iterator[Finding]:
    """Load every installed dialect, and say what is wrong with those that fail."""
    for entry in sorted(metadata.entry_points(group=dialects.ENTRY_POINT_GROUP)):
        owner, owned = (entry.dist.name, entry.dist.version) if entry.dist else ("?", "?")
        problem = None
        try:
            with _quiet():
                dialects.load(entry)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin may do anything
            problem = f"{described(error)}. Run 'pip install --force-reinstall {owner}'"
        yield Finding("dialect", entry.name, owner, owned, problem, None, {}, None)


def examine_executors() -> Iterator[Finding]:
    """Import every installed executor, and say what is wrong with those that fail."""
    for plugin in registry.installed("executor"):
        problem = None
        try:
            with _quiet():
                load_class(plugin)
        except HpsearchError as error:
            problem = str(error)
        name, owner = plugin.name, plugin.distribution
        yield Finding("executor", name, owner, plugin.version, problem, None, {}, None)


def print_backends(*, as_json: bool) -> None:
    """Print what each backend can do, as a table or as a JSON list."""
    findings = examine_backends()
    if as_json:
        click.echo(json.dumps(list(map(_data, findings))))
        return
    rows = [
        ["distribution", *(finding.distribution for finding in findings)],
        ["version", *(finding.version for finding in findings)],
    ]
    for name in Capabilities().to_dict():
        cells = [_ability(finding.capabilities, name) for finding in findings]
        rows.append([name.replace("_", " "), *cells])
    header = ["", *(finding.name for finding in findings)]
    for line in columns(header, rows, left=[""]):
        say(line)
    _print_problems(findings)
    names = {finding.name for finding in findings}
    absent = [f"hpsearch-{name}" for name in registry.PREFERENCE if name not in names]
    if absent:
        say(f"\nnot installed: {', '.join(absent)}")


def print_diagnosis(*, as_json: bool) -> bool:
    """Print versions and findings; return whether everything works."""
    findings = [*examine_backends(), *examine_dialects(), *examine_executors()]
    well = all(finding.problem is None for finding in findings)
    versions = {
        "python": platform.python_version(),
        "hpsearch": hpsearch.__version__,
        **{name: version(name) for name in COMPANIONS},
    }
    if as_json:
        plugins = list(map(_data, findings))
        report = {
            "ok": well,
            "platform": platform.platform(),
            "versions": versions,
            "plugins": plugins,
        }
        click.echo(json.dumps(report))
        return well
    rows = [[name, number or "not installed"] for name, number in versions.items()]
    for line in columns(["package", "version"], rows, left=["package", "version"]):
        say(line)
    say(f"on {platform.platform()}\n")
    header = ["plugin", "name", "works", "distribution", "engine"]
    rows = [
        [
            finding.kind,
            finding.name,
            "yes" if finding.problem is None else "NO",
            f"{finding.distribution} {finding.version}",
            ", ".join(f"{name} {number or 'missing'}" for name, number in finding.engines.items()),
        ]
        for finding in findings
    ]
    for line in columns(header, rows, left=header):
        say(line)
    _print_problems(findings)
    return well


def _data(finding: Finding) -> dict[str, Any]:
    """Return a finding for JSON; what an engine says of its server may hold a password."""
    problem = None if finding.problem is None else shown_lines(finding.problem)
    return {**asdict(finding), "problem": problem}


def _print_problems(findings: Sequence[Finding]) -> None:
    for finding in findings:
        if finding.problem is not None:
            say(f"\n{finding.kind} {finding.name!r} does not work", fg="red", bold=True)
            say(f"  {finding.problem}")
        elif finding.advice is not None:
            say(f"\n{finding.kind} {finding.name!r}: {finding.advice}")


def _examined(plugin: Plugin, offers: int) -> Finding:
    engines = _engines(plugin.distribution)
    capabilities = None
    problem = advice = None
    try:
        with _quiet():
            cls = plugin.load()
            Hooks().register(cls, Role.BACKEND, str(plugin))
        capabilities = cls.capabilities.to_dict()
        advice = _advice(cls)
    except HpsearchError as error:
        problem = str(error)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin may do anything
        problem = f"{plugin} cannot be loaded: {described(error)}"
    missing = [name for name, number in engines.items() if number is None]
    if missing:
        problem = f"{plugin} needs {', '.join(missing)}. Run 'pip install {' '.join(missing)}'"
    if offers > 1:
        problem = (
            f"{offers} distributions offer a backend {plugin.name!r}. Keep one: "
            f"'pip uninstall {plugin.distribution}' removes this one"
        )
    return Finding(
        "backend",
        plugin.name,
        plugin.distribution,
        plugin.version,
        problem,
        advice,
        engines,
        capabilities,
    )


def _advice(cls: type[Backend]) -> str | None:
    missing = [] if cls.engine is None else cls.engine.missing()
    if cls.engine is None or not missing:
        return None
    return f"'hpsearch install {cls.engine.backend}' adds {', '.join(missing)}"


def _engines(distribution: str) -> dict[str, str | None]:
    """Return what a plugin's distribution always needs, in addition to hpsearch."""
    try:
        needs = metadata.requires(distribution) or []
    except metadata.PackageNotFoundError:
        return {}
    names = [re.split(r"[^A-Za-z0-9._-]", need, maxsplit=1)[0] for need in needs if ";" not in need]
    return {name: version(name) for name in names if "hpsearch" not in (name, distribution)}


def _quiet() -> contextlib.redirect_stdout[Any]:
    """Keep what a plugin prints while it is imported out of the command's output."""
    return contextlib.redirect_stdout(sys.stderr)


def _ability(capabilities: dict[str, Any] | None, name: str) -> str:
    if capabilities is None:
        return "?"
    value = capabilities[name]
    if name == "max_parallel":
        return "any" if value is None else str(value)
    if name == "dialect":
        return "-" if value is None else str(value)
    return "yes" if value else "-"
