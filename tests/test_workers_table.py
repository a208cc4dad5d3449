"""The table of docs/workers.md says what the backends say of themselves."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import hpsearch
from hpsearch import Float
from hpsearch.errors import CapabilityError
from hpsearch.execution.process.options import ProcessOptions
from hpsearch.plugins import registry

PAGE = Path(__file__).parents[1] / "docs" / "workers.md"
OPTIONS = {
    "embedded": {"driver": "lite"},
    "on a server": {"api_url": "http://127.0.0.1:9", "api_token": "t", "parallel_bandwidth": 3},
    "offline": {"mode": "offline"},
    "online": {"mode": "online", "api_key": "k" * 40},
}
OPEN = {"any number": None, "one at a time": 1, "`parallel_bandwidth`": 3}


def rows():
    """Yield each backend of the table with its variant and its row's other cells."""
    for line in PAGE.read_text(encoding="utf-8").partition("## Which backend")[2].splitlines():
        if not line.startswith("| `"):
            continue
        who, *cells = [cell.strip() for cell in line.strip("|").split("|")]
        variant = who.rpartition(", ")[2] if "`, " in who and not who.endswith("`") else None
        for name in re.findall(r"`(\w+)`", who):
            yield name, variant, cells


ROWS = list(rows())


def test_every_backend_that_we_bring_is_in_the_table():
    ours = {plugin.name for plugin in registry.installed() if "hpsearch" in plugin.distribution}
    assert ours - {"cmaes", "smallest"} == {name for name, _, _ in ROWS}


@pytest.mark.parametrize(("name", "variant", "cells"), ROWS, ids=str)
def test_a_row_says_what_the_backend_says(name, variant, cells):
    plugin = registry.find(name)
    cls = plugin.load()
    options = registry.read_options(plugin, cls, dict(OPTIONS.get(variant, {})))
    capabilities = cls.capabilities_for(options)
    if capabilities.owns_loop:
        assert cells == ["runs the trials itself", "no", "no", "no"]
        with pytest.raises(CapabilityError, match="runs the trials itself and takes no executor"):
            hpsearch.search(lambda trial: 0.0, {"x": Float(0, 1)}, backend=name, executor="process")
        return
    inline, process, ray, torchrun = cells
    assert inline == torchrun == "yes"
    assert process == ray
    assert OPEN[process] == capabilities.max_parallel


def test_every_option_of_worker_processes_is_on_the_page():
    page = PAGE.read_text(encoding="utf-8")
    for name in ProcessOptions.__dataclass_fields__:
        assert f"| `{name}` |" in page
