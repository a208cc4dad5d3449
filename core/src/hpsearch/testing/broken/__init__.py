"""Backends that are each broken in one way on purpose, and the test that catches each.

They show that the kit sees what it is for: every test of the contract has one that fails it, and
none of them fails any other test.
"""

from __future__ import annotations

from pathlib import Path

from hpsearch.plugins.backend import ENTRY_POINT_GROUP
from hpsearch.testing.broken import form, spaces, suggestions, trials
from hpsearch.testing.broken.registry import BROKEN, Broken
from hpsearch.testing.distributions import fake_distribution

__all__ = ["BROKEN", "Broken", "form", "install", "spaces", "suggestions", "trials"]

_EAGER_PLUGIN = """
    import some_engine
    from hpsearch.testing.sound import Sound

    class ImportsItsEngine(Sound):
        pass
"""
BROKEN["ImportsItsEngine"] = Broken(
    "eager_plugin:ImportsItsEngine", "test_importing_the_module_imports_no_engine"
)


def install(path: Path) -> Path:
    """Write a distribution with all broken backends into a folder, and return the folder."""
    points = {name: broken.target for name, broken in BROKEN.items()}
    return fake_distribution(
        path,
        "hpsearch-broken",
        entry_points={ENTRY_POINT_GROUP: points},
        modules={"some_engine": "", "eager_plugin": _EAGER_PLUGIN},
    )
