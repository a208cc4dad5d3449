"""The conformance kit: what a backend author inherits to show that a plugin keeps the contract.

    from hpsearch.testing import BackendConformance

    class TestMyBackend(BackendConformance):
        backend = "mine"

Needs pytest: ``pip install "hpsearch[testing]"``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpsearch.testing.conformance import BackendConformance as BackendConformance

__all__ = ["BackendConformance"]


def __getattr__(name: str) -> Any:
    # Loaded on first use: the processes that the kit starts need the objectives, and no pytest.
    if name != "BackendConformance":
        raise AttributeError(f"module 'hpsearch.testing' has no attribute {name!r}")
    from hpsearch.testing.conformance import BackendConformance

    return BackendConformance
