"""Which accelerators a worker sees, and how many threads it uses.

A worker leases its devices by locks that the operating system takes back when the worker dies, so
that two workers never share one, whichever searches of the same user they belong to.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from filelock import BaseFileLock, FileLock, Timeout

from hpsearch.errors import ArgumentError, HpsearchError, listed

VISIBLE = "CUDA_VISIBLE_DEVICES"
"""Says which devices a process sees; CUDA and ROCm both read it."""

THREADS = "OMP_NUM_THREADS"
"""Says how many threads OpenMP, and by it torch, MKL and OpenBLAS, use in a process."""

_LOOK_AGAIN = 0.1
"""Seconds between two looks at devices that are taken."""


def visible_devices() -> list[str]:
    """Return the names of the accelerators that this process sees, as VISIBLE has them.

    Without that variable there are as many as the NVIDIA driver lists. No library that would
    occupy a device is loaded.
    """
    listing = os.environ.get(VISIBLE)
    if listing is not None:
        names = [name.strip() for name in listing.split(",")]
        # As CUDA reads it: what follows something that is not a device is not seen.
        end = next((at for at, name in enumerate(names) if name in ("", "-1")), len(names))
        return list(dict.fromkeys(names[:end]))
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    answer = subprocess.run(  # noqa: S603 - the driver's own program
        [program, "--list-gpus"], capture_output=True, text=True, check=False
    )
    count = sum(line.startswith("GPU ") for line in answer.stdout.splitlines())
    return [str(index) for index in range(count)]


def divide(devices: Sequence[str], n_workers: int | None, per_trial: int | None) -> tuple[int, int]:
    """Return how many workers there are, and how many devices each has to itself.

    Args:
        devices: The names of those that are visible.
        n_workers: What the user said, None for nothing: as many workers as devices suffice for,
            or one where there are none.
        per_trial: What the user said, None for nothing: one each where there are any.

    Raises:
        ArgumentError: There are too few devices.
    """
    each = min(len(devices), 1) if per_trial is None else per_trial
    workers = n_workers or (max(1, len(devices) // each) if each else 1)
    if workers * each > len(devices):
        raise ArgumentError(
            f"{workers} worker(s) with {each} device(s) each need {workers * each}, and "
            f"{len(devices)} are visible ({listed(devices)}); devices_per_trial=0 lets all "
            "workers share all devices"
        )
    return workers, each


def threads(n_workers: int, per_worker: int | None) -> dict[str, str]:
    """Return the environment variables that divide the processor's cores between workers."""
    if per_worker is not None:
        return {THREADS: str(per_worker)}
    if n_workers == 1 or THREADS in os.environ:
        return {}
    return {THREADS: str(max(1, _cores() // n_workers))}


def lease_folder() -> Path:
    """Return the folder of the locks, which is this user's alone; make it if it is not there.

    It lies with the temporary files, which are the machine's own as its devices are.

    Raises:
        HpsearchError: Somebody else may have put it there, or can write into it.
    """
    folder = Path(tempfile.gettempdir()) / f"hpsearch-devices-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise HpsearchError(f"devices cannot be leased in {str(folder)!r}: {error}") from error
    if stat.S_ISLNK(found.st_mode):
        problem = "is a symbolic link"
    elif not stat.S_ISDIR(found.st_mode):
        problem = "is not a folder"
    elif found.st_uid != os.getuid():
        problem = f"belongs to user {found.st_uid}"
    elif stat.S_IMODE(found.st_mode) & 0o077:
        problem = f"is open to other users (mode {stat.S_IMODE(found.st_mode):04o})"
    else:
        return folder
    raise HpsearchError(
        f"devices are leased in {str(folder)!r}, which {problem}; expected a folder of user "
        f"{os.getuid()} with mode 0700. Remove it, or set TMPDIR to a folder of your own"
    )


def lease(devices: Sequence[str], count: int) -> list[BaseFileLock]:
    """Make this process see ``count`` devices that no other worker has; wait until it can.

    Returns:
        The locks, to be held for as long as the devices are used.

    Raises:
        HpsearchError: See :func:`lease_folder`.
    """
    folder = lease_folder()
    # Quoted, so that no name leads out of the folder, and no two names share a lock.
    locks = {name: FileLock(folder / f"{quote(name, safe='')}.lock") for name in devices}
    waiting = False
    while True:
        held = [name for name, lock in locks.items() if _acquired(lock)]
        for name in held[count:]:
            locks[name].release()
        if len(held) >= count:
            os.environ[VISIBLE] = ",".join(held[:count])
            return [locks[name] for name in held[:count]]
        for name in held:
            locks[name].release()
        if not waiting:
            sys.stderr.write(f"waiting for {count} of the devices {listed(devices)}\n")
            waiting = True
        time.sleep(_LOOK_AGAIN)


def _acquired(lock: BaseFileLock) -> bool:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    return True


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
