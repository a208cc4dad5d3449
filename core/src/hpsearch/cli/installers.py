"""``hpsearch install``: the engines that pip cannot resolve by itself."""

from __future__ import annotations

import shlex
import subprocess
import sys
from importlib.util import find_spec

from hpsearch.cli.terminal import say
from hpsearch.errors import HpsearchError, listed
from hpsearch.plugins import registry
from hpsearch.plugins.installers import Engine


def engine_of(name: str) -> Engine:
    """Return the engine that a backend's plugin says has to be installed apart.

    Raises:
        BackendNotFoundError: The plugin is not installed.
        HpsearchError: The plugin has no such engine: pip has installed all of it.
    """
    plugin = registry.find(name)
    engine = plugin.load().engine
    if engine is None:
        raise HpsearchError(f"{plugin} needs nothing more than what pip installed with it")
    return engine


def install(engines: list[Engine], *, dry_run: bool) -> None:
    """Run pip, in this Python, until every engine is there; or print what would be run.

    Raises:
        HpsearchError: This Python has no pip, or pip failed.
    """
    for engine in engines:
        if not dry_run and not engine.missing():
            say(f"{engine.backend}: {listed(engine.pinned)} are installed already")
            continue
        for arguments in engine.commands():
            say(shlex.join(_command(*arguments)))
            if not dry_run:
                run_pip(*arguments)


def run_pip(*arguments: str) -> None:
    """Run pip in this Python.

    Raises:
        HpsearchError: This Python has no pip, or pip failed.
    """
    if find_spec("pip") is None:
        raise HpsearchError(
            f"{sys.executable} has no pip. Let the tool that made this environment install "
            f"{shlex.join(arguments[1:])}"
        )
    code = subprocess.run(_command(*arguments), check=False).returncode  # noqa: S603 - our own
    if code:
        raise HpsearchError(f"pip ended with exit code {code}; what it says above is why")


def _command(*arguments: str) -> tuple[str, ...]:
    # -P: a pip.py or json.py in the working directory is not imported.
    return (sys.executable, "-P", "-m", "pip", *arguments)
