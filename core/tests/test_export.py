"""A study as a table, JSON, CSV and a data frame."""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from datetime import datetime

import pandas
import pytest

import hpsearch
from hpsearch import Categorical, Float, Int, Space, when
from hpsearch.report.export import objective_names, table
from hpsearch.report.text import Layout, cell_width, shown, widest
from hpsearch.study.outcome import TrialError
from hpsearch.study.serial import record_from_dict, record_to_dict

SPACE = Space(
    {
        "learning_rate": Float(1e-5, 1e-1, log=True),
        "optimizer": Categorical(["sgd", "adam", None]),
        "momentum": Float(0.0, 1.0),
        "per_device_train_batch_size": Int(1, 64, log=True),
    },
    {"momentum": when(optimizer="sgd")},
)


def objective(trial):
    if trial.number == 3:
        raise ValueError('too, "bad"\nfor one line')
    trial.report(math.nan, 0)
    trial.report(0.5, 10)
    if trial.number % 4 == 1:
        raise hpsearch.TrialPruned
    trial.annotate("speed", {"samples": math.inf})
    return trial["learning_rate"]


@pytest.fixture(scope="module")
def study():
    return hpsearch.search(
        objective, SPACE, backend="random", n_trials=8, seed=2, max_failures=3, progress=False
    )


def refuse(constant):
    raise AssertionError(f"{constant} is no JSON")


def test_json_is_strict_where_the_objective_reported_nan_or_annotated_infinity(study):
    data = json.loads(study.to_json(), parse_constant=refuse)
    first = data["trials"][0]
    assert first["intermediate"] == [{"step": 0, "values": ["nan"]}, {"step": 10, "values": [0.5]}]
    assert math.isinf(float(first["attrs"]["speed"]["samples"]))


def test_json_has_every_trial_with_all_that_is_known_of_it(study):
    data = json.loads(study.to_json())
    assert data["directions"] == ["minimize"]
    assert data["seed"] == 2
    assert Space.from_dict(data["space"]) == SPACE
    assert data["best"] == [study.best.trial.number]
    assert [trial["number"] for trial in data["trials"]] == list(range(8))
    for read, trial in zip(data["trials"], study.trials, strict=True):
        assert read["params"] == dict(trial.params)
        assert read["state"] == trial.state
        assert read["seed"] == trial.seed
        assert datetime.fromisoformat(read["started"]).timestamp() == pytest.approx(trial.started)
        assert read["duration"] == trial.duration
    failed = data["trials"][3]
    assert failed["error"]["type"] == "ValueError"
    assert "Traceback" in failed["error"]["traceback"]
    assert failed["objectives"] is None


def test_json_of_a_study_without_any_trial_that_ended_well_names_no_best():
    def fail(trial):
        raise ValueError

    with pytest.raises(hpsearch.SearchFailedError) as caught:
        hpsearch.search(fail, {"x": Float(0, 1)}, backend="random", progress=False)
    assert json.loads(caught.value.study.to_json())["best"] == []


def test_a_study_in_which_no_trial_keeps_the_constraints_is_readable(study):
    trials = [record_from_dict(record_to_dict(trial)) for trial in study.trials]
    other = hpsearch.Study("constrained", ["minimize"], trials=trials)
    for trial in trials:
        trial.constrain("size", 1.0)
    with pytest.raises(hpsearch.HpsearchError, match="no feasible trial"):
        _ = other.best
    assert json.loads(other.to_json())["best"] == []
    assert "* " not in other.table()


def test_what_is_written_to_a_path_is_what_is_returned(study, tmp_path):
    text = study.to_json(tmp_path / "study.json")
    assert (tmp_path / "study.json").read_text() == text
    text = study.to_csv(tmp_path / "study.csv")
    assert (tmp_path / "study.csv").read_bytes().decode() == text


def test_csv_reads_back_with_one_row_for_each_trial(study):
    rows = list(csv.DictReader(io.StringIO(study.to_csv())))
    assert len(rows) == 8
    for row, trial in zip(rows, study.trials, strict=True):
        assert float(row["params_learning_rate"]) == trial["learning_rate"]
        assert row["params_momentum"] == str(trial.get("momentum", ""))
    assert rows[3]["error"] == 'ValueError: too, "bad"\nfor one line'
    assert json.loads(rows[0]["intermediate"]) == {"0": ["nan"], "10": [0.5]}


def test_csv_tells_a_parameter_that_is_none_from_one_that_was_not_searched(study):
    rows = list(csv.DictReader(io.StringIO(study.to_csv())))
    none = [trial.number for trial in study.trials if trial["optimizer"] is None]
    assert none
    assert [row["params_optimizer"] for row in rows if int(row["number"]) in none] == [
        "None"
    ] * len(none)
    assert "" in {row["params_momentum"] for row in rows}


RUN_BY_A_SPREADSHEET = ["=1+1", "+cmd", "-2+3", "@SUM(A1)", "\t=1", "\r=1"]
NUMBERS_AS_TEXT = ["-5", "+0.5", "-1e-3"]


def test_csv_has_no_cell_that_a_spreadsheet_would_run():
    space = {"=text": Categorical([*RUN_BY_A_SPREADSHEET, *NUMBERS_AS_TEXT]), "low": Float(-2, -1)}

    def objective(trial):
        trial.annotate("fact", "=A1")
        if trial.number == 0:
            raise ValueError
        return -1.5

    study = hpsearch.search(
        objective, space, backend="random", n_trials=60, seed=1, max_failures=2, progress=False
    )
    study.trials[0].error = TrialError("=type", "", "@traceback")
    texts = {trial["=text"] for trial in study.trials}
    assert texts == {*RUN_BY_A_SPREADSHEET, *NUMBERS_AS_TEXT}
    rows = list(csv.DictReader(io.StringIO(study.to_csv(), newline="")))
    for row, trial in zip(rows, study.trials, strict=True):
        text = trial["=text"]
        runs = text in RUN_BY_A_SPREADSHEET
        assert row["params_=text"] == (f"'{text}" if runs else text)
        assert float(row["params_low"]) == trial["low"]
        assert row["attrs_fact"] == "'=A1"
    assert rows[1]["objective"] == "-1.5"
    assert (rows[0]["error"], rows[0]["traceback"]) == ("'=type", "'@traceback")
    raw = list(csv.DictReader(io.StringIO(study.to_csv(raw=True), newline="")))
    assert [row["params_=text"] for row in raw] == [trial["=text"] for trial in study.trials]
    assert raw[0]["error"] == "=type"


def test_a_data_frame_keeps_text_as_it_is():
    space = {"x": Categorical(["=1+1"])}
    study = hpsearch.search(lambda trial: 0.0, space, backend="grid", n_trials=1, progress=False)
    assert list(study.dataframe()["params_x"]) == ["=1+1"]


def test_a_data_frame_has_numbers_and_times_as_such(study):
    frame = study.dataframe()
    assert list(frame["number"]) == list(range(8))
    assert frame["objective"].min() == study.best.objective
    assert frame["params_learning_rate"].dtype == float
    assert isinstance(frame["started"].dtype, pandas.DatetimeTZDtype)


def test_a_data_frame_without_pandas_says_what_to_do(study, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(hpsearch.HpsearchError, match="pip install pandas"):
        study.dataframe()


def test_the_table_shows_each_trial_in_a_line_with_a_star_at_the_best(study):
    lines = study.table().splitlines()
    starred = [line for line in lines if line.lstrip().startswith("* ")]
    assert [line.split()[1] for line in starred] == [str(study.best.trial.number)]
    assert sum(" failed " in line for line in lines) == 1


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_the_table_fits_the_width_and_shows_every_parameter(study, width):
    text = table(study, width)
    assert max(map(len, text.splitlines())) <= width
    for trial in study.trials:
        assert f"{trial['learning_rate']:.4g}" in text
    assert "batch_" in text


def test_a_long_name_is_broken_where_its_words_meet_to_make_the_table_fit(study):
    header = [line.split() for line in table(study, 80).split("─────")[0].splitlines()]
    parts = ["per_", "device_", "train_", "batch_", "size"]
    assert all(part in line for part, line in zip(parts, header, strict=True))
    assert "objective" in header[-1]


def test_the_table_keeps_a_long_list_of_parameters_readable():
    space = {f"parameter_{index}": Float(0, 1) for index in range(30)}
    study = hpsearch.search(
        lambda trial: 0.0, space, backend="random", n_trials=2, seed=0, progress=False
    )
    lines = table(study, 80).splitlines()
    assert max(map(len, lines)) <= 80
    assert "parameter_29=" in "".join(lines)


def test_the_table_of_no_trials_is_its_header():
    study = hpsearch.Study("empty", ["minimize"])
    assert len(study.table().splitlines()) == 2


def test_control_codes_in_a_parameter_do_not_reach_the_terminal():
    space = {"x\x1b[31m": Categorical(["a\nb"])}
    study = hpsearch.search(
        lambda trial: 0.0, space, backend="random", n_trials=1, seed=0, progress=False
    )
    text = study.table()
    assert "\x1b" not in text
    assert r"a\nb" in text


def test_several_objectives_have_a_column_each_and_the_front_is_starred():
    study = hpsearch.search(
        lambda trial: (trial["x"], -trial["x"]),
        {"x": Float(0, 1)},
        backend="random",
        direction=["minimize", "minimize"],
        n_trials=4,
        seed=0,
        progress=False,
    )
    assert objective_names(study) == ["objective_0", "objective_1"]
    assert study.table().count("* ") == 4
    assert list(study.dataframe()["objective_1"]) == [-trial["x"] for trial in study.trials]


def test_wide_characters_keep_the_columns_in_line():
    space = {"学習率": Categorical(["日本語", "abc"])}
    study = hpsearch.search(
        lambda trial: 0.0, space, backend="grid", n_trials=2, seed=0, progress=False
    )
    first, second = study.table().splitlines()[-2:]
    assert len(first) + 3 == len(second)


def test_a_table_that_does_not_fit_in_memory_is_laid_out_row_by_row():
    rows = [["1", "日本語", "x"], ["22", "", "\N{PARTY POPPER}"]]
    layout = Layout(["a", "language_spoken", "b"], widest(iter(rows)), left=["b"], wrap=9)
    lines = [*layout.heading(), *map(layout.line, rows)]
    assert lines == [
        "    language_",
        " a     spoken  b",
        "─" * layout.width,
        " 1     日本語  x",
        "22             \N{PARTY POPPER}",
    ]
    assert max(map(cell_width, lines)) == layout.width


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\x1b[31mb\x9b\x7f", r"a\x1b[31mb\x9b\x7f"),
        ("\u202eabc\u202c\u2066d\u2069", r"\u202eabc\u202c\u2066d\u2069"),
        ("at postgres://me:s3cret@host/db now", "at postgres://***@host/db now"),
        ("https://token@host/a?b=c@d", "https://***@host/a?b=c@d"),
        ("s3://me:a/b@host", "s3://***@host"),
        ("https://host/a@b", "https://host/a@b"),
        ("postgres:/me:s3cret@host", "postgres:/***@host"),
    ],
)
def test_what_people_see_has_no_control_codes_and_no_passwords(text, expected):
    assert shown(text) == expected


def test_raw_is_a_flag(study):
    with pytest.raises(hpsearch.HpsearchError, match="raw is 3, expected True or False"):
        study.to_csv(raw=3)
