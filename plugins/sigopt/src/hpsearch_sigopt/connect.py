"""Connecting: SigOpt's client to its optimiser in this process, or to a server of its API."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from hpsearch.execution.environment import environment
from hpsearch_sigopt import engine, server

if TYPE_CHECKING:
    from hpsearch_sigopt.options import SigOptOptions


def connect(options: SigOptOptions) -> Any:
    """Return a ``sigopt.Connection``.

    Raises:
        BackendError: The engine is not installed, or the server does not answer as SigOpt's does.
        OptionError: There is no token, or the server does not take it or lacks the project.
    """
    if options.on_server:
        return server.connect(client(), options)
    engine.load()
    return client().Connection(driver="lite", compute_mode=options.compute_mode)


def client() -> Any:
    """Return the module ``sigopt``.

    Importing it takes the name of the working directory for a project's, and raises where it is
    none; a project named in the environment keeps it from that.
    """
    with environment({"SIGOPT_PROJECT": os.environ.get("SIGOPT_PROJECT") or "hpsearch"}):
        return import_module("sigopt")
