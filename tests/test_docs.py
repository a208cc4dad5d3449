"""The documentation's promises: snippets run, links lead somewhere, options are all there."""

from __future__ import annotations

import inspect
import os
import re
import sys
from pathlib import Path
from textwrap import dedent

import pytest

import hpsearch
from hpsearch.plugins.backend import Capabilities

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(
    [
        ROOT / "README.md",
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "plugins").glob("*/README.md"),
        *(ROOT / "examples").glob("*/README.md"),
        ROOT / "core" / "README.md",
    ]
)
SCRIPTS = sorted((ROOT / "examples").glob("*.py"))
SOURCES = [
    *SCRIPTS,
    *(ROOT / "examples").glob("*/src/**/*.py"),
    *(ROOT / "examples").glob("*/tests/*.py"),
    *(ROOT / "examples" / "docs").glob("*.py"),
]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)[^)]*\)")


def stripped(text):
    """Return the code lines of a text without their indentation's common part."""
    return "\n".join(line.rstrip() for line in dedent(text).splitlines() if line.strip())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_snippet_of_a_page_lies_in_a_file_that_the_tests_run(page):
    sources = [stripped(source.read_text(encoding="utf-8")) for source in SOURCES]
    for block in BLOCK.findall(page.read_text(encoding="utf-8")):
        snippet = stripped(block)
        found = any(snippet in source for source in sources)
        assert found, f"{page.name} has a snippet that no file under examples/ holds:\n{snippet}"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_every_example_runs(programs, script, tmp_path):
    result = programs.run(
        *(sys.executable, "-W", "ignore", script),
        cwd=tmp_path,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_file_leads_to_it(page):
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_option_of_a_search_is_on_the_page_of_options():
    page = (ROOT / "docs" / "options.md").read_text(encoding="utf-8")
    for name in inspect.signature(hpsearch.search).parameters:
        assert f"`{name}`" in page or name == "backend_options", name


def test_every_capability_is_on_the_page_for_plugin_authors():
    page = (ROOT / "docs" / "plugin-authors.md").read_text(encoding="utf-8")
    for name in Capabilities().to_dict():
        assert f"`{name}`" in page, name
