"""Processes that an objective forks: none of them runs on as a second worker or search."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import TypeVarTuple, Unpack

from hpsearch.errors import HpsearchError
from hpsearch.study.outcome import Outcome

Arguments = TypeVarTuple("Arguments")


def run_in_this_process(
    run: Callable[[Unpack[Arguments]], Outcome], *arguments: *Arguments
) -> Outcome:
    """Run a trial, and return only in the process that called.

    A child that the objective forked, and that comes out of it, ends here as a program would:
    with the code of its ``sys.exit``, with 1 and a traceback after another exception, else with 0.
    Exit handlers are left to its parent.

    Args:
        run: Runs the trial and returns its outcome.
        *arguments: What it is called with.
    """
    _flush_before_forks()
    process = os.getpid()
    outcome = None
    try:
        outcome = run(*arguments)
    finally:
        if os.getpid() != process:
            code = 1 if outcome is None else _exit_code(outcome)
            _flush()
            os._exit(code)
    return outcome


def refuse_forked(trial: int, process: int) -> None:
    """Raise unless this is the process in which a trial runs.

    Args:
        trial: The trial's number.
        process: The id of that process.

    Raises:
        HpsearchError: It was forked from that process.
    """
    if os.getpid() != process:
        raise HpsearchError(
            f"trial {trial} runs in process {process}; process {os.getpid()}, which was forked "
            "from it, cannot talk to the study"
        )


def _exit_code(outcome: Outcome) -> int:
    error = outcome.exception
    if error is None:
        return 0
    if isinstance(error, SystemExit) and (error.code is None or isinstance(error.code, int)):
        return (error.code or 0) & 0xFF
    if outcome.error is not None:
        with suppress(OSError):
            os.write(2, outcome.error.traceback.encode(errors="backslashreplace"))
    return 1


@cache
def _flush_before_forks() -> None:
    """Have a child start with no text of its parent that it would write a second time."""
    if hasattr(os, "register_at_fork"):  # not on Windows
        os.register_at_fork(before=_flush)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):  # it may be missing or closed
            stream.flush()
