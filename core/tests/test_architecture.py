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
EXAMPLES = sorted(path for path in (ROOT / "examples").glob("*/src/hpsearch_*") if path.is_dir())
ENGINES = {"optuna", "ray", "wandb", "sigopt"}
ACCESSORS = {"getattr", "setattr", "hasattr", "delattr", "__setattr__", "__getattribute__"}
HEAVY = {"torch", "transformers", "numpy", "pandas", "plotly", "accelerate", "sklearn", *ENGINES}

FLOORS = (
    {"errors"},
    {"validators"},
    {"space"},
    {"study"},
    {"plugins"},
    {"builtin", "pruners"},
    {"execution"},
    {"storage"},
    {"report"},
    {"session"},
    {"cli"},
)
"""The rooms of the core. Each imports only from floors before its own, type-only and lazy imports
counted. ``docs/decisions/0008-the-house.md`` says why they stand in this order."""

GUESTS = {"transformers", "testing"}
"""These two may import anything, and no room imports them."""

DOORS = {
    ("study/study.py", "report"): "Study.table, dataframe, to_json and to_csv are thin doors",
    ("cli/demonstration.py", "transformers"): "the demonstration shows the Trainer integration",
}
"""The only imports against the order, with the reason for each."""

CLOSED = {
    "Coordinator": "session/coordinator.py",
    "Study": "study/study.py",
    "Trial": "study/trial.py",
    "TrialRecord": "study/record.py",
}
"""The classes whose private names no other module uses, and where each stands."""

NAMESAKES = {("hpsearch_wandb/agent.py", "_queue"): "an attribute of W&B's own agent"}
"""Private names of other packages' objects that are spelt like one of ours, with the reason."""


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


def homes():
    """Return the public names of ``hpsearch`` and the module that each comes from."""
    tree = ast.parse((CORE / "__init__.py").read_text(encoding="utf-8"))
    assigned = {
        node.targets[0].id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    return ast.literal_eval(assigned["_HOME"])


def rooms_used(source):
    """Return the rooms of the core that a source uses, through ``hpsearch`` itself too."""
    modules = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [alias.name for alias in node.names]
            modules += [f"hpsearch.{name}" for name in names] * (node.module == "hpsearch")
            modules += [node.module or ""]
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "hpsearch":
            modules.append(f"hpsearch.{node.attr}")
    public = homes()
    inside = [name.removeprefix("hpsearch.") for name in modules if name.startswith("hpsearch.")]
    return {public.get(name, name).partition(".")[0] for name in inside} - {"__version__"}


def against_the_order(room, used):
    """Return those of the rooms used that a room may not import."""
    if room in GUESTS:
        return set()
    floor = next(index for index, rooms in enumerate(FLOORS) if room in rooms)
    return used - set().union(*FLOORS[:floor]) - {room}


def room_of(path):
    return path.relative_to(CORE).parts[0].removesuffix(".py")


def private_names(source, name):
    """Return the private names of a class: its slots, its methods and what it sets on self."""
    tree = ast.parse(source)
    (cls,) = [n for n in ast.walk(tree) if isinstance(n, ast.ClassDef) and n.name == name]
    names = set()
    for node in ast.walk(cls):
        if isinstance(node, ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "self":
            names.add(node.attr)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__slots__":
            names |= set(ast.literal_eval(node.value))
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            names.add(node.targets[0].id)
    return {name for name in names if name.startswith("_") and not name.startswith("__")}


def reaches(source, private):
    """Return each private name that is used on another object than self or cls."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            owner, name = node.value, node.attr
        elif (
            isinstance(node, ast.Call)
            and ast.unparse(node.func).rpartition(".")[2] in ACCESSORS
            and len(node.args) > 1
            and isinstance(node.args[1], ast.Constant)
        ):
            owner, name = node.args[0], node.args[1].value
        else:
            continue
        if name in private and ast.unparse(owner) not in ("self", "cls"):
            found.add(name)
    return found


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


def test_each_room_imports_only_what_stands_before_it():
    wrong = {
        (str(path.relative_to(CORE)), room)
        for path in files(CORE)
        if path != CORE / "__init__.py"
        for room in against_the_order(room_of(path), rooms_used(path.read_text(encoding="utf-8")))
    }
    assert wrong - DOORS.keys() == set()
    assert DOORS.keys() - wrong == set(), "this exception is no longer needed"


@pytest.mark.parametrize(
    ("source", "used"),
    [
        ("from hpsearch.session.loop import drive", {"session"}),
        ("from hpsearch import session", {"session"}),
        ("import hpsearch.session.loop", {"session"}),
        ("from hpsearch import search", {"session"}),
        ("import hpsearch\nhpsearch.load('s.db')", {"storage"}),
        ("import hpsearch\nprint(hpsearch.__version__)", set()),
        ("if TYPE_CHECKING:\n    from hpsearch.session.loop import drive", {"session"}),
        ("def f():\n    from hpsearch.session.loop import drive", {"session"}),
        ("import json\nfrom optuna import create_study", set()),
    ],
)
def test_an_import_is_seen_however_it_is_written(source, used):
    assert rooms_used(source) == used


@pytest.mark.parametrize(
    ("room", "used", "wrong"),
    [
        ("space", {"errors", "validators", "space"}, set()),
        ("space", {"study"}, {"study"}),
        ("builtin", {"pruners"}, {"pruners"}),
        ("pruners", {"builtin"}, {"builtin"}),
        ("report", {"storage", "session"}, {"session"}),
        ("cli", {"testing", "session"}, {"testing"}),
        ("errors", {"validators"}, {"validators"}),
        ("session", {"attic"}, {"attic"}),
        ("transformers", {"cli", "testing"}, set()),
    ],
)
def test_a_room_may_import_from_the_floors_before_its_own_only(room, used, wrong):
    assert against_the_order(room, used) == wrong


def test_every_module_of_the_core_is_in_a_room_that_says_what_it_is_for():
    rooms = set().union(*FLOORS, GUESTS)
    entries = {room_of(path) for path in files(CORE)} - {"__init__", "__main__"}
    assert entries == rooms
    for room in rooms:
        path = CORE / room / "__init__.py" if (CORE / room).is_dir() else CORE / f"{room}.py"
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), path


def test_no_module_reaches_into_the_private_names_of_records_trials_studies_and_coordinators():
    found = set()
    for name, home in CLOSED.items():
        private = private_names((CORE / home).read_text(encoding="utf-8"), name)
        assert private
        for package in (CORE, *PLUGINS, *EXAMPLES):
            for path in files(package):
                if path != CORE / home:
                    used = reaches(path.read_text(encoding="utf-8"), private)
                    found |= {(str(path.relative_to(package.parent)), name) for name in used}
    assert found - NAMESAKES.keys() == set()
    assert NAMESAKES.keys() - found == set(), "this exception is no longer needed"


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("trial._secret", {"_secret"}),
        ("self.trial._secret = 1", {"_secret"}),
        ("getattr(trial, '_secret', None)", {"_secret"}),
        ("setattr(trial, '_secret', 1)", {"_secret"}),
        ("object.__setattr__(trial, '_secret', 1)", {"_secret"}),
        ("self._secret", set()),
        ("cls._secret", set()),
        ("trial._other", set()),
        ("trial.secret", set()),
    ],
)
def test_a_reach_into_a_private_name_is_seen(source, found):
    assert reaches(source, {"_secret"}) == found


def test_the_private_names_of_a_class_are_its_slots_methods_and_attributes():
    source = (
        "class A:\n    __slots__ = ('_a', 'b')\n    _c: int\n    _d = 1\n"
        "    def _e(self):\n        self._f = self.g\n    def __len__(self): ...\n"
        "class B:\n    def _h(self): ...\n"
    )
    assert private_names(source, "A") == {"_a", "_c", "_d", "_e", "_f"}


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
