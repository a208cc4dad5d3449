"""Ray itself: the one that runs already, a cluster's, or one of our own for a while."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any

import ray
from ray._private.utils import read_ray_address  # no public name; tried on Ray 2.60
from ray.exceptions import RayError

from hpsearch.errors import BackendError, OptionError
from hpsearch.execution.environment import environment

if TYPE_CHECKING:
    from hpsearch_ray.options import RayOptions

logger = logging.getLogger("hpsearch")

_QUIET = {
    # They name each file that Tune wrote or is to write, and failures that the history shows too.
    "ray.tune": logging.WARNING,
    "ray.tune.logger.logger": logging.ERROR,
    "ray.tune.tune": logging.CRITICAL,
    "ray.tune.analysis.experiment_analysis": logging.ERROR,
}


@contextlib.contextmanager
def connected(options: RayOptions) -> Iterator[None]:
    """Use the Ray that is running in this process, or connect, or start one, and end that again.

    Raises:
        OptionError: This process is connected to another cluster.
        BackendError: Ray cannot be reached, or cannot start.
    """
    if ray.is_initialized():
        running = ray.get_runtime_context().gcs_address
        if options.address not in (None, "auto", "local", running):
            raise OptionError(
                f"address is {options.address!r}, and this process is connected to another Ray; "
                "call ray.shutdown() first, or leave address out"
            )
        yield
        return
    address = _found(options.address)
    shown = options.verbose > 0
    try:
        ray.init(
            address=address,
            include_dashboard=False if address == "local" else None,
            log_to_driver=shown,
            logging_level=logging.INFO if shown else logging.ERROR,
        )
    except (ConnectionError, RuntimeError, ValueError, TimeoutError, RayError) as error:
        where = "start" if address == "local" else f"be reached at {address!r}"
        raise BackendError(f"Ray cannot {where}: {error}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _found(address: str | None) -> str:
    """Return the address that Ray would find by itself, ``"local"`` where it would start one.

    Ray takes what it finds for alive, and tries for minutes to reach one that is not: a cluster
    whose machine was switched off, or that was killed, stays noted on this machine.

    Raises:
        OptionError: It is not an address.
        BackendError: Nobody is there.
    """
    source = "address"
    if address in (None, "auto") and os.environ.get("RAY_ADDRESS"):
        address, source = os.environ["RAY_ADDRESS"], "RAY_ADDRESS"
    if address == "local":
        return address
    if address not in (None, "auto"):
        _check_reachable(str(address), source)
        return str(address)
    noted = read_ray_address()
    if noted is not None:
        try:
            _check_reachable(noted, "where ray start noted a cluster")
        except BackendError as error:
            if address == "auto":
                raise
            logger.warning("%s; Ray starts another one for this search", error)
            return "local"
    return noted or address or "local"


def _check_reachable(address: str, source: str) -> None:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "/" in host:
        client = ", and not a Ray client's" if address.startswith("ray://") else ""
        raise OptionError(
            f"{source} is {address!r}, expected 'auto' or 'host:port'{client}: run the script on "
            "the cluster, as ray job submit does"
        )
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        where = repr(address) if source == "address" else f"{address!r} ({source})"
        raise BackendError(f"Ray cannot be reached at {where}: {error}") from error


@contextlib.contextmanager
def tune_settings(options: RayOptions) -> Iterator[None]:
    """Set what Tune reads from the environment and from loggers, and set it back."""
    settings = {
        "TUNE_DISABLE_SIGINT_HANDLER": "1",  # See interruptible().
        "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # The history shows them.
        # Ray's newer output prints even where it is asked not to, and has no reporters.
        "RAY_AIR_NEW_OUTPUT": "0",
    }
    levels = {name: logging.getLogger(name).level for name in _QUIET}
    if not options.verbose:
        for name, level in _QUIET.items():
            logging.getLogger(name).setLevel(level)
    try:
        with environment(settings):
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


@contextlib.contextmanager
def interruptible(interrupt: Callable[[], None]) -> Iterator[None]:
    """Let the first Ctrl-C call a function, so that Tune stops in order, and the second one raise.

    Tune's own handlers stay in place after a search; here every handler is put back.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def first(number: int, _: FrameType | None) -> None:
        interrupt()
        signal.signal(number, before[signal.SIGINT])

    handled = [signal.SIGINT, *([signal.SIGUSR1] if hasattr(signal, "SIGUSR1") else [])]
    before: dict[int, Any] = {number: signal.getsignal(number) for number in handled}
    signal.signal(signal.SIGINT, first)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
