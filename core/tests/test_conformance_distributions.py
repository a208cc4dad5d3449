"""Distributions made up for a test are found and imported like installed ones, and forgotten."""

from __future__ import annotations

import sys
from importlib.metadata import version

import pytest

from hpsearch.plugins import registry
from hpsearch.testing.distributions import fake_distribution, importable

PLUGIN = """
    from hpsearch import Backend, hookimpl

    class Made(Backend):
        api_version = 1

        @hookimpl
        def hpsearch_suggest(self, study):
            return {"x": 0.5}
"""


@pytest.fixture
def folder(tmp_path):
    return fake_distribution(
        tmp_path,
        "hpsearch-made-up",
        "3.2",
        entry_points={"hpsearch.backends": {"made-up": "made_up.plugin:Made"}},
        modules={"made_up": "", "made_up.plugin": PLUGIN},
    )


def test_a_fake_distribution_is_listed_with_name_and_version_and_not_imported(folder):
    with importable(folder):
        plugin = registry.find("made-up")
        assert str(plugin) == "backend 'made-up' (hpsearch-made-up 3.2)"
        assert version("hpsearch-made-up") == "3.2"
        assert "made_up" not in sys.modules


def test_a_fake_distribution_is_imported_from_its_package_and_forgotten_afterwards(folder):
    with importable(folder):
        assert registry.find("made-up").load().__module__ == "made_up.plugin"
        assert "made_up.plugin" in sys.modules
    assert not {"made_up", "made_up.plugin"} & sys.modules.keys()
    assert "made-up" not in [plugin.name for plugin in registry.installed()]


def test_several_fake_distributions_fit_into_one_folder(folder):
    fake_distribution(folder, "hpsearch-second", entry_points={"hpsearch.backends": {"2": "b:C"}})
    with importable(folder):
        assert {"made-up", "2"} <= {plugin.name for plugin in registry.installed()}
