"""The boundaries of the design, read off the import statements and the file tree."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = ROOT / "core" / "src" / "hpsearch"
PLUGINS = sorted(path for path in (ROOT / "plugins").glob("*/src/hpsearch_*") if path.is_dir())
ENGINES = {"optuna", "ray", "wandb", "sigopt"}
HEAVY = {"torch", "transformers", "numpy", "pandas", "plotly", "accelerate", "sklearn", *ENGINES}


def imports(path, *, top_level_only=False):
    """Yield the modules that a file imports, those for type checkers alone left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.dump(block.test)
        for node in ast.walk(block)
    }
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    for node in nodes:
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            yield node.module or ""


def files(folder):
    return sorted(folder.rglob("*.py"))


def inside(path, *folders):
    return any(CORE / folder in path.parents or path == CORE / folder for folder in folders)


@pytest.mark.parametrize("path", files(CORE), ids=lambda path: str(path.relative_to(CORE)))
def test_the_core_imports_no_backend_and_transformers_in_one_place_only(path):
    roots = {module.split(".")[0] for module in imports(path)}
    assert not {name for name in roots if name.startswith("hpsearch_")}
    assert not roots & ENGINES
    if not inside(path, "transformers", "cli/demonstration.py"):
        assert not roots & {"torch", "transformers", "accelerate"}
    if not inside(path, "testing"):
        assert "pytest" not in roots


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda path: path.name)
def test_a_plugin_imports_no_other_plugin_and_no_transformers(plugin):
    for path in files(plugin):
        roots = {module.split(".")[0] for module in imports(path)}
        others = {name for name in roots if name.startswith("hpsearch_")} - {plugin.name}
        assert not others, path
        assert not roots & {"transformers", "torch"}, path


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda path: path.name)
def test_what_the_core_loads_of_a_plugin_loads_no_engine(plugin):
    project = tomllib.loads((plugin.parents[1] / "pyproject.toml").read_text())["project"]
    targets = [item for group in project["entry-points"].values() for item in group.values()]
    modules = [plugin.name, *(target.partition(":")[0] for target in targets)]
    assert f"{plugin.name}.backend" in modules
    assert f"{plugin.name}.dialect" in modules
    program = (
        f"import importlib, sys\nfor name in {modules!r}: importlib.import_module(name)\n"
        f"print(sorted({HEAVY!r} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert result.stdout == "[]\n", result.stderr


def test_no_folder_would_shadow_a_real_package():
    shadows = [ROOT / "core", ROOT / "plugins", *(ROOT / "plugins").iterdir()]
    assert not [path for path in shadows if (path / "__init__.py").exists()]
