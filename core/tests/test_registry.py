"""Discovery with real fake distributions: what is broken is named, and hurts nobody else."""

from __future__ import annotations

import subprocess
import sys

import pytest

import hpsearch
from hpsearch import Float
from hpsearch.errors import BackendError, BackendNotFoundError, SearchFailedError
from hpsearch.plugins import registry
from hpsearch.testing.distributions import fake_distribution, importable

HEADER = """
from hpsearch import Backend, Capabilities, hookimpl
"""

GOOD = (
    HEADER
    + """
class Example(Backend):
    api_version = 1

    @hookimpl
    def hpsearch_suggest(self, study, trial):
        return {"x": 0.5, "n": 2}
"""
)


LOSES_TRIALS = """
    @hookimpl
    def hpsearch_run(self, study, evaluate):
        for _ in range(2):
            trial = study.history.begin({"x": 0.5, "n": 1})
            if trial.number == 0:
                channel = study.history.channel(trial)
                study.history.tell(trial, evaluate.run(trial, channel))
        return True
"""
SUGGEST = "    @hookimpl\n    def hpsearch_suggest(self): return {'x': 0.5, 'n': 2}\n"


def broken(body, api_version=1, capabilities=""):
    return (
        HEADER
        + f"\nclass Example(Backend):\n    api_version = {api_version}\n"
        + f"    capabilities = Capabilities({capabilities})\n"
        + body
    )


@pytest.fixture
def install(tmp_path):
    """Install distributions into one folder, which is on ``sys.path`` during the test."""
    with importable(tmp_path):

        def add(source, name="hpsearch-example", backend="example", version="3.1"):
            module = name.replace("-", "_")
            points = {registry.ENTRY_POINT_GROUP: {backend: f"{module}:Example"}}
            fake_distribution(tmp_path, name, version, points, {module: source})
            registry._scanned.clear()

        yield add
    registry._scanned.clear()


def search(backend, **options):
    space = {"x": Float(0, 1), "n": hpsearch.Int(1, 3)}
    return hpsearch.search(
        lambda t: t["x"], space, backend=backend, n_trials=2, progress=False, **options
    )


def test_an_installed_backend_is_found_and_runs(install):
    install(GOOD)
    assert [trial["x"] for trial in search("example").trials] == [0.5, 0.5]


def test_a_listing_imports_no_backend(install):
    install("raise RuntimeError('imported')")
    names = {plugin.name for plugin in registry.installed()}
    assert {"random", "grid", "optuna", "example"} <= names
    assert "hpsearch_example" not in sys.modules


def test_only_the_backend_asked_for_is_imported(install):
    install("raise RuntimeError('imported')")
    assert len(search("random").trials) == 2
    assert "hpsearch_example" not in sys.modules


BROKEN = {
    "cannot be imported": (
        "import no_such_engine",
        "'no_such_engine'. Reinstall it with 'pip install --force-reinstall hpsearch-example'",
    ),
    "has no such class": ("", "has no attribute 'Example'"),
    "is not a class": ("Example = 3", "hpsearch_example:Example is 3, expected a class"),
    "is not a backend": (
        "class Example:\n    api_version = 1",
        "expected a class that inherits from Backend",
    ),
    "speaks a newer version": (
        broken("", api_version=99),
        "speaks api_version 99, and this hpsearch speaks 1. Run 'pip install --upgrade hpsearch'",
    ),
    "speaks an older version": (
        broken("", api_version=0),
        "Run 'pip install --upgrade hpsearch-example'",
    ),
    "states no version": (
        HEADER + "class Example(Backend):\n    pass\n",
        "speaks api_version None",
    ),
    "states no capabilities": (
        broken("    capabilities = {'log': True}\n"),
        r"states no capabilities=Capabilities\(...\)",
    ),
    "states no options": (broken("    Options = dict\n"), "Options that are not a dataclass"),
    "has a wrong signature": (
        broken("    @hookimpl\n    def hpsearch_suggest(self, study, tiral): return {}\n"),
        "does not fit the hooks.*tiral",
    ),
    "misspells a hook": (
        broken("    @hookimpl\n    def hpsearch_sugest(self, study): return {}\n"),
        "'hpsearch_sugest' is not a hook. Did you mean 'hpsearch_suggest'",
    ),
    "implements no hook": (
        broken("    pass\n"),
        "does not implement hpsearch_suggest, which every",
    ),
    "marks no hook": (
        broken("    def hpsearch_suggest(self, study): return {}\n"),
        "does not implement hpsearch_suggest, .* mark the method @hpsearch.hookimpl",
    ),
    "declares pruning alone": (
        broken(SUGGEST, capabilities="pruning=True"),
        "declares the capability 'pruning' and does not implement hpsearch_report",
    ),
    "declares the loop alone": (
        broken(SUGGEST, capabilities="owns_loop=True"),
        "declares the capability 'owns_loop' and does not implement hpsearch_run",
    ),
    "exits at its import": ("raise SystemExit(3)", "cannot be imported .*SystemExit: 3"),
    "raises when made": (
        broken(SUGGEST + "    def __init__(self, options): raise OSError('no licence')\n"),
        "failed to start: OSError: no licence",
    ),
    "raises in a hook": (
        broken(
            SUGGEST
            + "    @hookimpl\n    def hpsearch_open(self, study): raise OSError('no server')\n"
        ),
        "failed in hpsearch_open: OSError: no server",
    ),
    "suggests nothing": (
        broken("    @hookimpl\n    def hpsearch_suggest(self, study): return None\n"),
        "answered None in hpsearch_suggest, expected a mapping",
    ),
    "suggests no mapping": (
        broken("    @hookimpl\n    def hpsearch_suggest(self, study): return [0.5]\n"),
        r"answered \[0.5\] in hpsearch_suggest, expected a mapping",
    ),
    "suggests a wrong name": (
        broken("    @hookimpl\n    def hpsearch_suggest(self): return {'x': 0.5, 'm': 1}\n"),
        "suggested parameters that are not in the space: parameter 'm' is not in the space",
    ),
    "suggests too many names": (
        broken("    @hookimpl\n    def hpsearch_suggest(self): return {'x': 1, 'n': 1, 'm': 1}\n"),
        "parameter 'm' is not in the space",
    ),
    "suggests out of range": (
        broken("    @hookimpl\n    def hpsearch_suggest(self): return {'x': 0.5, 'n': 7}\n"),
        r"parameter 'n': 7 \(int\) is not an int from 1 to 3",
    ),
    "suggests a wrong type": (
        broken("    @hookimpl\n    def hpsearch_suggest(self): return {'x': 0.5, 'n': 2.0}\n"),
        r"parameter 'n': 2.0 \(float\) is not an int",
    ),
    "forgets how its trials ended": (
        broken(LOSES_TRIALS, capabilities="owns_loop=True"),
        "ended the search, and did not tell how these trials ended: 1$",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_plugin_is_named_with_its_distribution_and_version(case, install):
    source, message = BROKEN[case]
    install(source)
    with pytest.raises(BackendError, match=message) as error:
        search("example")
    assert "backend 'example' (hpsearch-example 3.1)" in str(error.value)


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_plugin_does_not_hurt_a_search_that_does_not_use_it(case, install):
    install(BROKEN[case][0])
    assert len(search("random").trials) == 2


def test_a_name_that_two_distributions_offer_is_an_error_for_that_name_alone(install):
    install(GOOD, name="hpsearch-one")
    install(GOOD, name="hpsearch-two", version="0.2")
    with pytest.raises(
        BackendError,
        match="'example' is offered by hpsearch-one 3.1 and hpsearch-two 0.2. Uninstall all but",
    ):
        search("example")
    assert len(search("random").trials) == 2


def test_a_second_distribution_cannot_take_a_built_in_name(install):
    install(GOOD, backend="random")
    study = search("random")
    assert [trial["x"] for trial in study.trials] != [0.5, 0.5]
    assert "hpsearch_example" not in sys.modules


def test_a_backend_installed_while_the_program_runs_is_found(tmp_path):
    with importable(tmp_path):
        with pytest.raises(BackendNotFoundError, match="no backend is called 'example'"):
            search("example")
        points = {registry.ENTRY_POINT_GROUP: {"example": "late_example:Example"}}
        fake_distribution(tmp_path, "late-example", "1", points, {"late_example": GOOD})
        assert len(search("example").trials) == 2


def test_a_backend_that_raises_while_a_trial_talks_to_it_ends_the_search(install):
    install(
        GOOD
        + "\n    @hookimpl\n    def hpsearch_report(self, trial): raise OSError('server gone')\n"
    )

    def objective(trial):
        try:
            trial.report(1.0, 0)
        except Exception:
            return 0.0
        return 1.0

    space = {"x": Float(0, 1), "n": hpsearch.Int(1, 3)}
    with pytest.raises(BackendError, match="failed in hpsearch_report: OSError: server gone"):
        hpsearch.search(objective, space, backend="example", progress=False, max_failures=99)


def test_a_failure_policy_is_not_asked_about_a_broken_backend(install):
    install(GOOD + "\n    @hookimpl\n    def hpsearch_tell(self, trial): raise OSError('full')\n")
    with pytest.raises(BackendError, match="failed in hpsearch_tell: OSError: full") as error:
        search("example", catch=Exception)
    assert not isinstance(error.value, SearchFailedError)


def test_a_best_run_that_is_in_no_history_is_refused(install):
    install(
        GOOD
        + "\n    @hookimpl\n    def hpsearch_best(self, study):\n"
        + "        from hpsearch import BestRun\n"
        + "        return [BestRun('77', 0.0, {})]\n"
    )
    with pytest.raises(BackendError, match="names run '77' as best in hpsearch_best"):
        search("example")


@pytest.mark.parametrize("answer", ["study.trials[0]", "{'x': 1}", "[0.5]"])
def test_a_best_run_that_is_no_best_run_is_refused(install, answer):
    best = f"\n    @hookimpl\n    def hpsearch_best(self, study): return {answer}\n"
    install(GOOD + best)
    with pytest.raises(BackendError, match="in hpsearch_best, expected a list of BestRun or None"):
        search("example")


def test_an_empty_list_of_best_runs_says_that_no_trial_may_be_best(install):
    install(GOOD + "\n    @hookimpl\n    def hpsearch_best(self, study): return []\n")
    study = search("example")
    with pytest.raises(hpsearch.HpsearchError, match="has no best run among 2 trials"):
        _ = study.best


def test_a_best_run_that_a_backend_makes_itself_has_its_trial(install):
    install(
        GOOD
        + "\n    @hookimpl\n    def hpsearch_best(self, study):\n"
        + "        from hpsearch import BestRun\n"
        + "        return [BestRun('1', 0.5, {'x': 0.5}, 'native')]\n"
    )
    study = search("example")
    assert study.best.trial is study.trials[1]
    assert study.best.checkpoint is None


PROGRAM = """
import sys
import hpsearch
from hpsearch.plugins import registry
loaded = set(sys.modules)
names = [plugin.name for plugin in registry.installed()]
assert "random" in names and "optuna" in names, names
engines = {"optuna", "ray", "wandb", "sigopt", "torch", "transformers", "numpy", "pandas", "plotly"}
assert not engines & set(sys.modules), engines & set(sys.modules)
assert not [name for name in sys.modules if name.startswith("hpsearch_")]
hpsearch.search(lambda t: t["x"], {"x": hpsearch.Float(0, 1)}, backend="random", progress=False)
assert not engines & set(sys.modules), engines & set(sys.modules)
print("clean")
"""


def test_importing_listing_and_a_random_search_load_no_engine():
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False
    )
    assert result.stdout == "clean\n", result.stderr


WITHOUT_PLUGINS = """
import hpsearch, sys
from hpsearch.plugins import registry
registry._scan = lambda: ()
try:
    hpsearch.search(lambda t: 0, {"x": hpsearch.Float(0, 1)})
except hpsearch.HpsearchError as error:
    print(error)
"""


def test_without_any_plugin_the_error_lists_the_four_and_the_built_in_ones():
    result = subprocess.run(
        [sys.executable, "-c", WITHOUT_PLUGINS],
        capture_output=True,
        text=True,
        check=False,
    )
    for name in ("optuna", "ray", "wandb", "sigopt"):
        assert f"pip install hpsearch-{name}" in result.stdout
    assert "backend='random' and backend='grid'" in result.stdout
