"""Engines that pip cannot resolve: what they consist of, whether they are here, how to get them.

Some engines still work and are no longer maintained: their packages pin versions of others that
no longer install. A backend with such an engine says so in an :class:`Engine`, and
``hpsearch install NAME`` installs it, the pinned packages without their dependencies.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from hpsearch.errors import BackendError


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine to be installed by ``hpsearch install``.

    Attributes:
        backend: The name of its backend.
        requirements: What it needs, as requirements that pip resolves: ``"scipy>=1.11"``.
        pinned: The packages themselves, each as ``"name==version"``, installed without what they
            say that they depend on.
    """

    backend: str
    requirements: tuple[str, ...]
    pinned: tuple[str, ...]

    def missing(self) -> list[str]:
        """Return those of the pinned packages that are not installed in that version."""
        return [package for package in self.pinned if not _installed(package)]

    def commands(self) -> list[tuple[str, ...]]:
        """Return the arguments of pip that install the engine, one tuple for each run."""
        runs = [("install", *self.requirements)] if self.requirements else []
        return [*runs, ("install", "--no-deps", *self.pinned)]

    def require(self) -> None:
        """Make sure that the engine is installed.

        Raises:
            BackendError: It is not; the message says what to run.
        """
        missing = self.missing()
        if missing:
            raise BackendError(
                f"the engine of backend {self.backend!r} is not installed: {', '.join(missing)}. "
                f"Run: hpsearch install {self.backend}"
            )


def _installed(package: str) -> bool:
    name, _, pinned = package.partition("==")
    try:
        return version(name) == pinned
    except PackageNotFoundError:
        return False
