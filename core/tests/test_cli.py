"""The command ``hpsearch``, on journals of real searches and real fake distributions."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from click.testing import CliRunner

import hpsearch
from hpsearch import Float, Space
from hpsearch.cli import diagnosis, main
from hpsearch.cli.studies import print_study
from hpsearch.plugins import registry
from hpsearch.plugins.backend import Capabilities
from hpsearch.study.record import TrialRecord
from hpsearch.testing.distributions import fake_distribution, importable

GOOD = """
from hpsearch import Backend, Capabilities, hookimpl

class Example(Backend):
    api_version = 1

    @hookimpl
    def hpsearch_suggest(self, study, trial):
        return {"x": 0.5}
"""


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def objective(trial):
    if trial.number == 1:
        raise ValueError("no luck\nat all")
    if trial.number == 2:
        raise hpsearch.TrialPruned
    return trial["x"]


def search(storage, **arguments):
    arguments = {"backend": "random", "n_trials": 6, "seed": 0, "max_failures": 9} | arguments
    return hpsearch.search(
        objective, {"x": Float(0, 1)}, storage=storage, progress=False, **arguments
    )


@pytest.fixture
def storage(tmp_path):
    return tmp_path / "study.db"


@pytest.fixture
def install(tmp_path):
    """Install distributions into a folder that is on ``sys.path`` during the test."""
    with importable(tmp_path):

        def add(source, name="hpsearch-example", group=registry.ENTRY_POINT_GROUP):
            module = name.replace("-", "_")
            points = {group: {"example": f"{module}:Example"}}
            fake_distribution(tmp_path, name, "3.1", points, {module: source})
            registry._scanned.clear()

        yield add
    registry._scanned.clear()


def test_the_version_is_the_packages():
    assert run("--version").output == f"hpsearch {hpsearch.__version__}\n"


def test_the_installed_command_is_this_one():
    command = Path(sys.executable).with_name("hpsearch")
    shown = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    assert shown.stdout == f"hpsearch {metadata.version('hpsearch')}\n"


# show


def test_show_prints_each_trial_the_best_run_and_why_trials_failed(storage):
    study = search(storage)
    result = run("show", storage)
    assert result.exit_code == 0
    assert "6 of 6 trials: 4 complete, 1 pruned, 1 failed" in result.output
    assert study.table() in result.output
    assert f"best: trial {study.best.trial.number}" in result.output
    assert "trial 1: ValueError: no luck\n" in result.output


def large(storage, n_trials=60, objective=lambda trial: trial["x"], **arguments):
    arguments = {"backend": "random", "seed": 0, "max_failures": n_trials} | arguments
    return hpsearch.search(
        objective,
        {"x": Float(0, 1)},
        n_trials=n_trials,
        storage=storage,
        progress=False,
        **arguments,
    )


def numbers_shown(output):
    """The numbers of the trials in the table that is printed."""
    lines = [line.removeprefix("* ").split() for line in map(str.strip, output.splitlines())]
    states = set(map(str, hpsearch.TrialState))
    return [int(line[0]) for line in lines if len(line) > 1 and line[1] in states]


def test_show_of_a_large_study_prints_the_best_20_and_with_all_every_trial(storage):
    study = large(storage)
    output = run("show", storage).output
    ranked = sorted(study.trials, key=lambda trial: trial.objective)
    assert numbers_shown(output) == [trial.number for trial in ranked[:20]]
    assert "the best 20 of 60 trials; --all shows all\n" in output
    assert f"best: trial {ranked[0].number}," in output
    everything = run("show", storage, "--all").output
    assert numbers_shown(everything) == list(range(60))
    assert study.table() in everything
    assert "--all" not in everything
    assert len(json.loads(run("show", storage, "--json").output)["trials"]) == 60


def test_show_of_a_large_study_leaves_what_has_no_result_to_the_counts(storage):
    def objective(trial):
        if trial.number % 2:
            raise ValueError(f"trial {trial.number} has no luck")
        if trial.number % 10 == 0:
            raise hpsearch.TrialPruned
        return trial["x"]

    large(storage, objective=objective)
    output = run("show", storage).output
    assert "60 of 60 trials: 24 complete, 6 pruned, 30 failed" in output
    assert len(numbers_shown(output)) == 20
    assert all(number % 2 == 0 for number in numbers_shown(output))
    assert output.count("has no luck") == 20
    assert "and 10 more; --all shows all" in output
    assert run("show", storage, "--all").output.count("has no luck") == 30


def test_show_of_a_large_study_without_any_result_says_so(storage):
    def objective(trial):
        raise hpsearch.TrialPruned

    large(storage, objective=objective)
    output = run("show", storage).output
    assert numbers_shown(output) == []
    assert "none of 60 trials can be ranked; --all shows all" in output


def test_show_says_that_no_trial_keeps_its_constraints(capsys):
    trials = [TrialRecord(number, params={"x": 1.0}) for number in range(3)]
    space = Space({"x": Float(0, 9)})
    study = hpsearch.Study("constrained", ["minimize"], space=space, trials=trials)
    for trial in trials:
        trial.constrain("size", 1.0)
        trial.state, trial.objectives, trial.ended = hpsearch.TrialState.COMPLETE, (1.0,), 1.0
    print_study(study)
    output = capsys.readouterr().out
    assert "no best run: no complete trial keeps its constraints" in output
    assert numbers_shown(output) == [0, 1, 2]
    assert "* " not in output


def test_show_of_several_directions_begins_with_the_front(storage):
    def objective(trial):
        return trial["x"], (1 - trial["x"]) + trial.number % 3

    study = large(storage, objective=objective, direction=["minimize", "minimize"])
    front = {best.trial.number for best in study.best_runs}
    output = run("show", storage).output
    shown = numbers_shown(output)
    assert len(shown) == 20
    assert set(shown[: len(front)]) <= front or len(front) < 20
    assert f"Pareto front: {len(front)} trials" in output
    assert output.count("* ") == min(len(front), 20)


def test_nothing_of_a_journal_reaches_the_terminal_as_a_control_code(storage):
    code = "\x1b]0;title\x07\x9b31m\u202e"

    def objective(trial):
        trial.annotate("checkpoint", f"folder{code}")
        if trial.number == 0:
            raise ValueError(f"lost{code}")
        return trial[f"x{code}"]

    hpsearch.search(
        objective,
        {f"x{code}": Float(0, 1)},
        backend="random",
        n_trials=3,
        name=f"name{code}",
        max_failures=2,
        storage=storage,
        progress=False,
    )
    with contextlib.closing(sqlite3.connect(storage)) as connection, connection:
        connection.execute("UPDATE study SET backend = ?", (f"backend{code}",))
    outputs = [
        run("show", storage).output,
        run("show", storage, "--study", f"none{code}").output,
        run("show", f"{storage}{code}").output,
        run(f"show{code}").output,
    ]
    search(storage, name="another")
    outputs.append(run("show", storage).output)
    for output in outputs:
        assert output
        assert not set(code) - set("]0;title31m") & set(output), output
    for field in ("name", "x", "backend", "folder", "lost"):
        assert f"{field}\\x1b" in outputs[0], field


def test_no_password_of_a_url_is_printed(storage, install):
    url = "postgres://me:s3cret@host/db"
    for arguments in (
        ("show", url),
        ("report", url),
        ("show", "--study", url, search(storage) and storage),
        ("report", storage, "--output", url),
        (url,),
    ):
        result = run(*arguments)
        assert result.exit_code == 2
        assert "s3cret" not in result.output
    install(f"raise RuntimeError('no answer from {url}')")
    for arguments in (("doctor",), ("doctor", "--json"), ("backends",), ("backends", "--json")):
        output = run(*arguments).output
        assert "s3cret" not in output
        assert "postgres://***@host/db" in output


def test_show_prints_the_same_json_as_the_study(storage):
    study = search(storage)
    assert json.loads(run("show", storage, "--json").output) == json.loads(study.to_json())


def test_show_lists_the_studies_of_a_journal_that_has_several(storage):
    search(storage, name="first")
    search(storage, name="second", n_trials=1)
    output = run("show", storage).output
    assert "first" in output
    assert "second" in output
    assert "--study" in output
    rows = json.loads(run("show", storage, "--json").output)["studies"]
    assert [(row["name"], row["counts"]["complete"]) for row in rows] == [
        ("first", 4),
        ("second", 1),
    ]
    assert "1 of 1 trials" in run("show", storage, "--study", "second").output


def test_show_prints_the_pareto_front_of_several_directions(storage):
    study = hpsearch.search(
        lambda trial: (trial["x"], -trial["x"]),
        {"x": Float(0, 1)},
        backend="random",
        direction=["minimize", "minimize"],
        n_trials=3,
        storage=storage,
        progress=False,
    )
    output = run("show", storage).output
    assert f"Pareto front: {len(study.best_runs)} trials" in output


def test_show_of_a_search_in_which_every_trial_failed_has_no_best(storage):
    with pytest.raises(hpsearch.SearchFailedError):
        hpsearch.search(lambda trial: None, None, backend="random", storage=storage, progress=False)
    output = run("show", storage).output
    assert "ObjectiveError" in output
    assert "best:" not in output


def test_an_unknown_study_is_one_clear_line_without_a_traceback(storage):
    search(storage, name="first")
    result = run("show", storage, "--study", "frist")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert "'first'" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_file_that_is_no_journal_is_one_clear_line(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    result = run("show", tmp_path / "notes.txt")
    assert result.exit_code == 2
    assert "Traceback" not in result.output


@pytest.mark.parametrize("command", ["show", "report"])
def test_a_file_that_does_not_exist_is_refused_and_not_created(command, storage):
    assert run(command, storage).exit_code == 2
    assert not storage.exists()


# report


def test_report_writes_the_page_beside_the_journal_and_prints_where(storage):
    search(storage)
    result = run("report", storage)
    page = storage.with_suffix(".html")
    assert result.output.strip() == str(page)
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_report_writes_the_study_that_is_named_where_it_is_told(storage, tmp_path):
    search(storage, name="first")
    search(storage, name="second")
    assert run("report", storage).exit_code == 2
    target = tmp_path / "page.html"
    assert run("report", storage, "--study", "second", "--output", target).exit_code == 0
    assert "<title>second" in target.read_text(encoding="utf-8")


# backends


def test_backends_lists_each_with_what_it_can_do():
    output = run("backends").output
    for name in ("random", "grid", "optuna"):
        assert name in output
    for capability in Capabilities().to_dict():
        assert capability.replace("_", " ") in output


def test_backends_in_json_have_distribution_version_and_capabilities():
    rows = {row["name"]: row for row in json.loads(run("backends", "--json").output)}
    assert rows["random"]["distribution"] == "hpsearch"
    assert rows["random"]["version"] == metadata.version("hpsearch")
    assert rows["random"]["capabilities"]["max_parallel"] is None
    assert rows["random"]["problem"] is None


def test_backends_imports_no_engine():
    program = (
        "import sys; from click.testing import CliRunner; from hpsearch.cli import main;"
        "result = CliRunner().invoke(main, ['backends', '--json']);"
        "assert result.exit_code == 0, result.output;"
        "print(sorted({'optuna', 'torch', 'transformers', 'numpy'} & sys.modules.keys()))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert shown.stdout == "[]\n"


# doctor

BROKEN = {
    "import no_such_engine": "No module named 'no_such_engine'",
    "raise SystemExit('bye')": "SystemExit: bye",
    GOOD.replace("api_version = 1", "api_version = 99"): "api_version 99",
    GOOD.replace("def hpsearch_suggest", "def hpsearch_sugest"): "Did you mean 'hpsearch_suggest'?",
    GOOD.replace("study, trial", "study, trail"): "trail",
    "Example = 3": "expected a class",
}


def findings():
    """Run ``hpsearch doctor --json``; return its exit code and what it says of ``example``."""
    result = run("doctor", "--json")
    plugins = json.loads(result.stdout)["plugins"]
    return result.exit_code, [plugin for plugin in plugins if plugin["name"] == "example"]


def test_doctor_is_content_where_everything_works():
    result = run("doctor")
    assert result.exit_code == 0
    assert hpsearch.__version__ in result.output
    assert f"optuna {metadata.version('optuna')}" in result.output
    report = json.loads(run("doctor", "--json").output)
    assert report["ok"]
    assert report["versions"]["torch"] == metadata.version("torch")


@pytest.mark.parametrize("source", BROKEN, ids=lambda source: BROKEN[source])
def test_doctor_names_what_is_wrong_with_a_broken_plugin_and_goes_on(install, source):
    install(source)
    code, (example,) = findings()
    assert code == 1
    assert BROKEN[source] in example["problem"]
    output = run("doctor").output
    assert BROKEN[source] in output
    assert "hpsearch-example 3.1" in output
    assert "random" in output


def test_backends_shows_a_broken_plugin_beside_the_others(install):
    install("import no_such_engine")
    result = run("backends")
    assert result.exit_code == 0
    assert "backend 'example' does not work" in result.output
    assert "--force-reinstall hpsearch-example" in result.output


def test_doctor_says_that_an_engine_is_missing_and_what_to_run(install, tmp_path):
    install(GOOD)
    (folder,) = tmp_path.glob("hpsearch_example-*.dist-info")
    with (folder / "METADATA").open("a") as file:
        file.write("Requires-Dist: no-such-engine>=2\nRequires-Dist: other; extra == 'more'\n")
    code, (example,) = findings()
    assert code == 1
    assert example["engines"] == {"no-such-engine": None}
    assert "pip install no-such-engine" in example["problem"]


def test_doctor_says_that_two_distributions_offer_one_name(install):
    install(GOOD)
    install(GOOD, name="hpsearch-twin")
    code, twins = findings()
    assert code == 1
    for twin in twins:
        assert f"pip uninstall {twin['distribution']}" in twin["problem"]
    assert len(twins) == 2


def test_doctor_keeps_what_a_plugin_prints_out_of_its_json(install):
    install("print('hello')\n" + GOOD)
    code, (example,) = findings()
    assert code == 0
    assert example["problem"] is None


def test_doctor_checks_dialects_too(install):
    install("import no_such_engine", group="hpsearch.dialects")
    code, (example,) = findings()
    assert code == 1
    assert example["kind"] == "dialect"


# demo


def test_the_demo_without_its_packages_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(diagnosis, "version", lambda name: None if name == "scikit-learn" else "1")
    result = run("demo", "--output", tmp_path)
    assert result.exit_code == 2
    assert result.stderr == (
        "Error: the demo needs scikit-learn. Run: pip install 'hpsearch[demo]'\n"
    )


# documentation


def test_every_command_and_option_is_on_the_page_of_the_command_line():
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
    for name, command in main.commands.items():
        assert f"`hpsearch {name}" in page
        for parameter in command.params:
            for option in parameter.opts:
                assert not option.startswith("--") or f"`{option}" in page, option
