"""What the packages of this repository must have in common."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

import hpsearch

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = [ROOT / "core", *sorted((ROOT / "plugins").glob("*/"))]
CONSTRAINTS = sorted(ROOT.glob("constraints*.txt"))


def project(package: Path) -> dict[str, Any]:
    return tomllib.loads((package / "pyproject.toml").read_text())["project"]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_a_package_ships_the_repositorys_licence_and_its_types(package):
    assert (package / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    (source,) = (package / "src").glob("hpsearch*/")
    assert (source / "py.typed").exists()


def test_all_packages_have_one_version():
    assert {project(package)["version"] for package in PACKAGES} == {hpsearch.__version__}


def test_no_folder_on_the_way_to_a_package_can_be_imported_in_place_of_an_engine():
    for package in PACKAGES:
        assert not (package / "__init__.py").exists()
    assert not (ROOT / "plugins" / "__init__.py").exists()


@pytest.mark.parametrize("constraints", CONSTRAINTS, ids=lambda path: path.name)
def test_every_constraint_is_an_exact_version_from_any_index(constraints):
    lines = [line for line in constraints.read_text().splitlines() if not line.startswith("#")]
    assert lines
    for line in lines:
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.!]*", line), line


def test_both_environments_have_the_same_torch():
    pins = {
        tuple(re.findall(r"^torch==.+$", path.read_text(), re.MULTILINE)) for path in CONSTRAINTS
    }
    assert [len(pin) for pin in pins] == [1]
