"""Journals that were edited: each row is checked, and what is wrong is named in one error."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner

import hpsearch
from hpsearch import Categorical, Float, Int, Space, TrialPruned, when
from hpsearch.cli import main
from hpsearch.errors import JournalError
from hpsearch.storage.journal import load

SPACE = Space(
    {
        "x": Float(0, 1, step=0.1),
        "n": Int(1, 4),
        "c": Categorical(["a", None, 2, 2.5]),
        "y": Float(1, 2),
    },
    conditions={"y": when(c="a")},
)


def suggesting(trial):
    if trial.suggest_categorical("kind", ["a", "b"]) == "a":
        trial.suggest_float("rate", 0.1, 1, log=True)
    return {"size": trial.suggest_int("power", 1, 5) ** 2}


def scripted(trial):
    """Trials 1 and 2 are pruned and failed, the others complete; each reports."""
    trial.annotate("fact", {"deep": [1]})
    trial.set_constraint("memory", trial.number - 5)
    trial.report(float(trial.number), 1)
    if trial.number == 1:
        raise TrialPruned
    if trial.number == 2:
        raise ValueError("no such thing")
    return float(trial.number)


def search(path, name, objective=scripted, **options):
    space = SPACE if name == "flat" else suggesting
    return hpsearch.search(
        objective,
        space,
        backend="random",
        catch=ValueError,
        retries=1,
        progress=False,
        **{"storage": path, "name": name, "seed": 1 if name == "flat" else 2, **options},
    )


@pytest.fixture(scope="module")
def journal(tmp_path_factory):
    """The content of a journal with two studies.

    ``flat`` has the trials 0 complete, 1 pruned, 2 failed, 3 its retry, 4 and 5 complete, 6
    running and 7 waiting, both enqueued. ``free`` is define-by-run, and has 0 to 4.
    """
    folder = tmp_path_factory.mktemp("journal")
    path, copy = folder / "study.db", folder / "copy.db"
    search(path, "free", n_trials=4)
    search(path, "flat", n_trials=5)

    def copies(trial):
        if not copy.exists():
            with sqlite3.connect(path) as source, sqlite3.connect(copy) as target:
                source.backup(target)
                target.execute("PRAGMA journal_mode = DELETE")
        return 1.0

    points = [{"x": 0.5, "n": 1, "c": None}, {"x": 0.1, "n": 2, "c": "a", "y": 1.5}]
    search(path, "flat", copies, n_trials=7, resume=True, enqueue=points)
    return copy.read_bytes()


@pytest.fixture
def path(journal, tmp_path):
    path = tmp_path / "study.db"
    path.write_bytes(journal)
    return path


def edit(path, statements):
    connection = sqlite3.connect(path)
    with connection:
        assert connection.executescript(statements)
    connection.close()


def test_the_journal_has_a_trial_of_each_kind(path):
    states = [str(trial.state) for trial in load(path, "flat").trials]
    assert states == ["complete", "pruned", "failed", "complete", "complete", "complete", "running"]
    assert load(path, "flat").trials[3].retry_of == 2
    with sqlite3.connect(path) as connection:
        (waiting,) = connection.execute("SELECT number FROM trial WHERE state = 'waiting'")
    connection.close()
    assert waiting == (7,)


FLAT = "study = (SELECT key FROM study WHERE name = 'flat')"
FREE = "study = (SELECT key FROM study WHERE name = 'free')"
X = '{"type":"float","low":0,"high":1,"step":0.1}'
DEEP = "'" + "[" * 100_000 + "]" * 100_000 + "'"


def of_trial(assignment, number=0, where=FLAT):
    return f"UPDATE trial SET {assignment} WHERE {where} AND number = {number}"


def of_study(assignment):
    return f"UPDATE study SET {assignment} WHERE name = 'flat'"


def of_report(assignment):
    return f"UPDATE report SET {assignment} WHERE {FLAT} AND number = 0"


def space(x):
    """Return the statement that gives the study a space in which x is what is given."""
    return of_study(f"""space = '{{"parameters": {{"x": {x}}}}}'""")


# Each statement, and what the message has to name of it.
TRIALS = [
    *[
        (of_trial(f"{column} = {value}"), column)
        for column, values in {
            "state": ("''", "'done'", "'COMPLETE'", "7", "x'00'", "'waiting'"),
            "id": ("''", "x'41'", "'1'"),
            "attempts": ("-1", "'many'", "1.5", "x'01'"),
            "retry_of": ("0", "5", "99", "-1", "'one'", "0.5", "x'01'"),
            "started": ("'now'", "x'00'", "9e999", "1e300", "-1"),
            "ended": ("'now'", "x'00'", "-9e999", "253402300800"),
            "duration": ("'long'", "x'00'", "-1"),
            "told": ("'first'", "1.5", "x'01'", "0"),
            "objectives": (
                *("'[1.0'", "'null'", "'{}'", "'[]'", "'[null]'", "'[true]'", "'[\"1\"]'"),
                *("'[1.0,2.0]'", "'[NaN]'", """'[{"$float":"nan"}]'""", "x'00'", "1.5", "NULL"),
                *(f"'[{10**400}]'", "'[1e999]'", DEEP),
            ),
            "params": (
                *("'{'", "'null'", "'[]'", "'{}'", "x'7b7d'", "7", "NULL", DEEP),
                """'{"x":0.5,"n":1}'""",
                """'{"x":0.5,"n":1,"c":2,"x":0.6}'""",
                """'{"x":0.5,"n":1,"c":2,"z":1}'""",
                """'{"x":0.5,"n":1,"c":2,"y":1.5}'""",
                """'{"x":7.0,"n":1,"c":2}'""",
                """'{"x":0.55,"n":1,"c":2}'""",
                """'{"x":"0.5","n":1,"c":2}'""",
                """'{"x":0.5,"n":true,"c":2}'""",
                """'{"x":0.5,"n":1.5,"c":2}'""",
                """'{"x":0.5,"n":1,"c":"b"}'""",
                """'{"x":0.5,"n":1,"c":[2]}'""",
                """'{"x":{"$float":"nan"},"n":1,"c":2}'""",
                f"""'{{"x":0.5,"n":{10**400},"c":2}}'""",
            ),
            "fixed": ("'['", "'null'", "'[1]'", """'{"x":[1]}'""", "x'00'"),
            "derived": ("'['", "'null'", "'[1]'", "'7'", "x'00'", DEEP),
            "distributions": (
                *("'['", "'null'", "'[1]'", """'{"x":1}'""", """'{"x":{"type":"complex"}}'"""),
                """'{"x":{"type":"float","low":2,"high":1}}'""",
                """'{"x":{"type":"float","low":"a","high":1}}'""",
                """'{"x":{"type":"categorical","choices":7}}'""",
                """'{"x":{"type":"native"}}'""",
            ),
            "attrs": (
                *("'['", "'null'", "'[1]'", "'NaN'", "x'00'", DEEP),
                *("""'{"a":1,"a":1}'""", """'{"a":[{"b":1,"b":2}]}'""", """'{"a":[-1e999]}'"""),
            ),
            "constraints": (
                """'{"m":1E+999}'""",
                *("'['", "'null'", "'[1]'", """'{"m":"0"}'""", """'{"m":null}'""", "1"),
            ),
            "error": ("""'{"type":"E","message":"m"}'""", "'['", "'[]'"),
        }.items()
        for value in values
    ],
    (of_trial("error = NULL", 2), "error"),
    (of_trial("error = '{}'", 2), "error"),
    (of_trial("""error = '{"type":1,"message":"m"}'""", 2), "error"),
    (of_trial("""error = '{"type":"E","message":"m","bases":7}'""", 2), "error"),
    (of_trial("objectives = '[1.0]'", 1), "objectives"),
    (of_trial("objectives = '[1.0]'", 2), "objectives"),
    (of_trial("state = 'pruned'"), "objectives"),
    (of_trial("state = 'complete'", 1), "objectives"),
    (of_trial("state = 'failed'"), "state"),
    (of_trial("number = -1"), "number"),
    (of_trial("number = 'one'"), "number"),
    (of_trial("number = 1.5"), "number"),
    (of_trial("number = 99"), "report"),
    (of_trial("retry_of = 3", 3), "retry_of"),
    (of_trial("retry_of = 4", 3), "retry_of"),
    (of_trial("retry_of = 0", 3), "retry_of is 0, and no such trial failed"),
    (of_trial("params = '[]'", 6), "params"),
    (of_trial("params = '[]'", 7), "params"),
    (of_trial("""params = '{"x":7.0,"n":1,"c":2}'""", 7), "'x'"),
    (of_trial("params = NULL", 7), "'x'"),
    (of_trial("""params = json_set(params, '$.z', 1)""", 2), "'z'"),
    (of_trial("state = 'running', fixed = 7", 7), "fixed"),
    (f"DELETE FROM trial WHERE {FLAT} AND number = 2", "retry_of"),
]
REPORTS = [
    (of_report("value = '['"), "value"),
    (of_report("value = 'null'"), "values"),
    (of_report("value = '[]'"), "report"),
    (of_report("value = '[1.0,2.0]'"), "report"),
    (of_report("value = '[\"1\"]'"), "values"),
    (of_report("value = x'00'"), "value"),
    (of_report("value = '[NaN]'"), "value"),
    (of_report("value = '[1e999]'"), "value"),
    (of_report("step = -1"), "step"),
    (of_report("step = 'one'"), "step"),
    (of_report("step = 1.5"), "step"),
    (of_report("number = 99"), "report"),
    (of_report("number = 'one'"), "report"),
]
STUDIES = [
    *[
        (of_study(f"{column} = {value}"), column)
        for column, values in {
            "directions": (
                *("'['", "'[]'", "'null'", "'{}'", "'\"minimize\"'", "'[\"up\"]'", "'[[]]'"),
                *("'[1]'", "x'00'", "7"),
            ),
            "seed": ("-1", "4294967296", "'seven'", "1.5", "x'00'"),
            "n_trials": ("0", "-1", "'many'", "1.5", "x'00'"),
            "timeout": ("'long'", "x'00'", "-1.0", "9e999"),
            "backend": ("x'00'",),
            "chosen": ("'['", "'{}'", "'[\"0\"]'", "'[true]'", "'[99]'", "x'00'", "7"),
            "thresholds": (
                *("'['", "'{}'", "'[7]'", "x'00'", "7", """'[{"metric":"a"}]'"""),
                """'[{"metric":1,"bound":2,"at_most":true,"objective":null}]'""",
                """'[{"metric":"a","bound":"2","at_most":true,"objective":null}]'""",
                """'[{"metric":"a","bound":2,"at_most":1,"objective":null}]'""",
                f"""'[{{"metric":"a","bound":{10**400},"at_most":true,"objective":null}}]'""",
                """'[{"metric":"a","bound":2,"at_most":true,"objective":5}]'""",
                """'[{"metric":"a","bound":2,"at_most":true,"objective":true}]'""",
            ),
            "owner": ("'me'", "'{}'", "'[]'", "'null'", """'{"pid":"1","host":"h"}'""", "x'00'"),
            "space": (
                *("'{'", "'[]'", "'null'", "'{}'", "x'00'", "7", """'{"parameters":[]}'""", DEEP),
                """'{"parameters":{"":{"type":"float","low":0,"high":1}}}'""",
                """'{"parameters":{},"conditions":[]}'""",
                """'{"parameters":{},"conditions":{"x":7}}'""",
                """'{"parameters":{},"conditions":{"x":[7]}}'""",
                """'{"parameters":{},"groups":7}'""",
                """'{"parameters":{},"groups":[7]}'""",
                f"""'{{"parameters":{{"x":{X},"x":{X}}}}}'""",
            ),
        }.items()
        for value in values
    ],
    *[
        (space(x), "space")
        for x in (
            *("7", "null", "[]", "{}", '{"type":"float"}', '{"type":["float"]}'),
            '{"type":"float","low":1,"high":0}',
            '{"type":"float","low":"0","high":1}',
            '{"type":"float","low":0,"high":1,"step":-1}',
            '{"type":"float","low":0,"high":1,"log":true}',
            '{"type":"float","low":0,"high":1,"log":7}',
            '{"type":"float","low":NaN,"high":1}',
            '{"type":"float","low":0,"high":1e999}',
            '{"type":"float","low":0,"high":0.5,"high":1}',
            '{"type":"int","low":0.5,"high":1}',
            '{"type":"int","low":0,"high":1,"size":1}',
            '{"type":"categorical","choices":[]}',
            '{"type":"categorical","choices":[[1]]}',
            '{"type":"categorical","choices":"ab"}',
            '{"type":"native","dialect":7}',
        )
    ],
]
FREE_TRIALS = [
    (of_trial("params = '{}', distributions = '[]'", where=FREE), "distributions"),
    (
        of_trial("""distributions = replace(distributions, '"low":1', '"low":9')""", 0, where=FREE),
        "distributions",
    ),
    (
        of_trial("""params = replace(params, '"power":', '"power":1')""", 0, where=FREE),
        "params",
    ),
    (of_trial("params = '{}'", where=FREE), "distributions"),
    (of_trial("distributions = NULL", where=FREE), "distributions"),
    (of_trial("""params = json_set(params, '$.z', 1)""", 0, where=FREE), "'z'"),
]


def told_of(path, name):
    """Return the message of the one error that each use of the journal gives."""
    messages = set()
    uses = (
        lambda: load(path, name),
        lambda: search(path, name, n_trials=9, resume=True),
    )
    for use in uses:
        with pytest.raises(JournalError) as caught:
            use()
        messages.add(str(caught.value))
    shown = CliRunner().invoke(main, ["show", str(path), "--study", name])
    assert shown.exit_code == 2
    assert isinstance(shown.exception, SystemExit)
    assert shown.output.count("\n") == 1, shown.output
    assert "Traceback" not in shown.output
    assert str(path) in shown.output
    (message,) = messages
    assert str(path) in message
    return message


def check_refused(path, statements, named, row, name="flat"):
    edit(path, statements)
    message = told_of(path, name)
    assert f"study {name!r}" in message
    assert row in message
    assert named in message.partition(name)[2]
    # The other study of the file is whole.
    assert load(path, "free" if name == "flat" else "flat").trials


def ids(cases):
    return [f"{number}: {statements[:60]}" for number, (statements, _) in enumerate(cases)]


@pytest.mark.parametrize(("statements", "named"), TRIALS, ids=ids(TRIALS))
def test_a_trial_that_was_edited_is_named(path, statements, named):
    check_refused(path, statements, named, "trial")


@pytest.mark.parametrize(("statements", "named"), FREE_TRIALS, ids=ids(FREE_TRIALS))
def test_a_define_by_run_trial_that_was_edited_is_named(path, statements, named):
    check_refused(path, statements, named, "trial 0", "free")


@pytest.mark.parametrize(("statements", "named"), REPORTS, ids=ids(REPORTS))
def test_a_report_that_was_edited_is_named(path, statements, named):
    check_refused(path, statements, named, "trial")


@pytest.mark.parametrize(("statements", "named"), STUDIES, ids=ids(STUDIES))
def test_a_study_that_was_edited_is_named(path, statements, named):
    check_refused(path, statements, named, "study")


@pytest.mark.parametrize(
    ("table", "column"),
    [
        *[
            ("study", name)
            for name in ("directions", "space", "seed", "owner", "chosen", "thresholds")
        ],
        *[("study", name) for name in ("backend", "n_trials", "timeout")],
        *[("trial", name) for name in ("id", "state", "attempts", "objectives", "params")],
        *[("trial", name) for name in ("started", "told", "constraints", "retry_of", "error")],
        ("report", "value"),
    ],
)
def test_a_column_that_was_dropped_is_named(path, table, column):
    edit(path, f"ALTER TABLE {table} DROP COLUMN {column}")
    assert column in told_of(path, "flat")


@pytest.mark.parametrize("table", ["study", "trial", "report"])
def test_a_table_that_was_dropped_is_named(path, table):
    edit(path, f"DROP TABLE {table}")
    assert table in told_of(path, "flat").removeprefix(f"the journal {path}")


@pytest.mark.parametrize("where", ["study = 99", "study = -1", "study = 'flat'"])
@pytest.mark.parametrize("table", ["trial", "report"])
def test_rows_of_no_study_are_named(path, table, where):
    edit(path, f"UPDATE {table} SET {where} WHERE {FLAT} AND number = 4")
    message = told_of(path, "flat")
    assert f"the table '{table}' has trial 4 of study {where.removeprefix('study = ')}" in message


def test_a_study_does_not_inherit_the_trials_of_one_that_was_deleted(path):
    edit(path, "DELETE FROM study WHERE name = 'flat'")
    with pytest.raises(JournalError, match="trial 0 of study 2, and there is no study with that"):
        search(path, "flat", n_trials=3)


def test_other_directions_than_the_trials_have_are_named(path):
    edit(path, of_study("""directions = '["minimize", "maximize"]'"""))
    with pytest.raises(JournalError, match="study 'flat', trial 0: objectives has 1 values"):
        load(path, "flat")
    with pytest.raises(JournalError, match="its directions are 'minimize'.*'maximize'"):
        search(path, "flat", n_trials=9, resume=True)


def test_a_trial_that_was_cut_short_outside_the_space_starts_again(path):
    edit(path, of_trial("""params = '{"x":7.0,"n":1,"c":2}', fixed = NULL""", 6))
    study = search(path, "flat", n_trials=8, resume=True)
    assert SPACE.validate(study.trials[6].params)
    assert load(path, "flat").to_json() == study.to_json()


@pytest.mark.parametrize(
    "statements",
    [
        "ALTER TABLE trial ADD COLUMN note TEXT; UPDATE trial SET note = 'mine'",
        "ALTER TABLE study ADD COLUMN note TEXT",
        "ALTER TABLE report ADD COLUMN note TEXT",
        "CREATE TABLE note (text TEXT); INSERT INTO note VALUES ('mine')",
        "CREATE INDEX by_state ON trial (state)",
        "CREATE VIEW complete AS SELECT * FROM trial WHERE state = 'complete'",
        "VACUUM",
    ],
)
def test_what_is_added_to_a_journal_harms_nothing(path, statements):
    before = [load(path, name).to_json() for name in ("flat", "free")]
    edit(path, statements)
    assert [load(path, name).to_json() for name in ("flat", "free")] == before
    assert search(path, "flat", n_trials=8, resume=True).counts()["complete"] == 7
    assert CliRunner().invoke(main, ["show", str(path)]).exit_code == 0


# A journal of hpsearch 0.1.0.

OLD = Path(__file__).parent / "data" / "study-0.1.0.db"
"""Written by 0.1.0: trials 0 and 1 enqueued, 2 pruned, 3 failed, 4 its retry, 6 interrupted."""

OLD_SPACE = {
    "x": Float(0, 1, step=0.1),
    "n": Int(1, 5, step=2),
    "c": Categorical(["a", None, 2.5]),
}


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "study.db"
    path.write_bytes(OLD.read_bytes())
    return path


def columns(path, table):
    connection = sqlite3.connect(path)
    found = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    connection.close()
    return version, found


def test_a_journal_of_0_1_0_shows_canonical_values_and_is_only_read(old):
    before = old.read_bytes()
    study = load(old)
    assert [trial.params["x"] for trial in study.trials] == [0.3, 0.6, 0.5, 0.7, 0.7, 0.5, 0.8]
    assert [dict(trial.fixed) for trial in study.trials[:2]] == [
        {"x": 0.3, "n": 1, "c": None},
        {"x": 0.6, "n": 1, "c": None},
    ]
    assert study.counts() == {"running": 0, "complete": 4, "pruned": 1, "failed": 2}
    assert study.trials[4].retry_of == 3
    assert study.trials[0].attrs == {
        "checkpoint": "run-0/checkpoint-4",
        "size": {"$float": "nan", "n": [1, None]},
    }
    assert str(study.trials[5].intermediate) == "{1: (nan,), 4: (0.5,)}"
    assert all(trial.feasible and trial.duration is not None for trial in study.trials)
    assert study.best.hyperparameters == {"x": 0.3, "n": 1, "c": None}
    shown = CliRunner().invoke(main, ["show", str(old)])
    assert shown.exit_code == 0
    assert "x = 0.3\n" in shown.output
    assert old.read_bytes() == before
    assert columns(old, "trial")[0] == 1


def test_a_journal_of_0_1_0_goes_on_and_gets_the_new_schema(old):
    before = load(old)
    seen = []

    def objective(trial):
        seen.append((trial.number, dict(trial.params)))
        trial.set_constraint("size", trial["n"] - 3)
        return trial["x"]

    study = hpsearch.search(
        objective,
        OLD_SPACE,
        backend="random",
        n_trials=9,
        storage=old,
        resume=True,
        retries=1,
        progress=False,
        enqueue=[{"x": 0.1 + 0.2, "n": 1, "c": None}],  # as trial 0 was
    )
    assert seen[0] == (6, {"x": 0.8, "n": 3, "c": None})  # it was interrupted
    assert [number for number, _ in seen] == [6, 7, 8, 9]
    assert study.seed == before.seed == 5
    again = load(old)
    assert again.to_json() == study.to_json()
    for number in range(6):
        assert repr(again.trials[number]) == repr(before.trials[number])
        assert again.trials[number].duration == before.trials[number].duration
    assert again.trials[9].constraints
    version, found = columns(old, "trial")
    assert version == 2
    assert {"duration", "constraints", "told"} <= set(found)


def test_a_column_that_a_journal_of_0_1_0_lacks_is_named(old):
    edit(old, "ALTER TABLE trial DROP COLUMN retry_of")
    with pytest.raises(JournalError, match="the table 'trial' has no column 'retry_of'"):
        load(old)
