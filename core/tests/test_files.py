"""What hpsearch writes replaces what hpsearch wrote as that kind, and nothing else."""

from __future__ import annotations

import contextlib
import itertools
import os
import sqlite3
import stat
import subprocess
import sys

import pytest
from click.testing import CliRunner

import hpsearch
from hpsearch import Float, HpsearchError, report
from hpsearch.cli import main
from hpsearch.errors import ArgumentError
from hpsearch.report import files

WRITERS = {
    "report": lambda study, path: report.write(study, path),
    "json": lambda study, path: study.to_json(path),
    "csv": lambda study, path: study.to_csv(path),
}
FOREIGN = {
    "text": b"my notes",
    "page": b"<!DOCTYPE html>\n<html><head><title>mine</title></head></html>",
    "json": b'{"format": 1, "rows": []}',
    "csv": b"number,name\n1,a\n",
    "bytes": b"\x00\xff" * 400,
}


@pytest.fixture(params=WRITERS)
def write(request):
    return WRITERS[request.param]


@pytest.fixture(scope="module")
def study():
    return hpsearch.search(
        lambda trial: trial["x"],
        {"x": Float(0, 1)},
        backend="random",
        name='a "study" \\ of \N{GREEK SMALL LETTER RHO}',
        n_trials=2,
        seed=0,
        progress=False,
    )


def test_a_new_file_is_written_and_an_older_one_of_the_same_kind_replaced(write, study, tmp_path):
    path = tmp_path / "file"
    write(study, path)
    first = path.read_bytes()
    other = hpsearch.search(
        lambda trial: 1.0, {"y": Float(0, 1)}, backend="random", n_trials=1, progress=False
    )
    write(other, path)
    assert path.read_bytes() not in (b"", first)
    assert list(tmp_path.iterdir()) == [path]


def test_an_empty_file_counts_as_new(write, study, tmp_path):
    path = tmp_path / "file"
    path.touch()
    write(study, path)
    assert path.stat().st_size


@pytest.mark.parametrize("foreign", FOREIGN)
def test_a_file_that_hpsearch_did_not_write_stays_as_it_is(write, foreign, study, tmp_path):
    path = tmp_path / "notes.txt"
    path.write_bytes(FOREIGN[foreign])
    with pytest.raises(
        ArgumentError, match=r"notes\.txt was not written by hpsearch, .*name another file"
    ):
        write(study, path)
    assert path.read_bytes() == FOREIGN[foreign]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("one", "other"), list(itertools.permutations(WRITERS, 2)))
def test_a_file_of_another_kind_stays_as_it_is(one, other, study, tmp_path):
    path = tmp_path / "file"
    WRITERS[one](study, path)
    before = path.read_bytes()
    with pytest.raises(ArgumentError, match="is a .* of hpsearch, .*another file"):
        WRITERS[other](study, path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("through_a_link", [False, True])
def test_no_database_is_written_over(write, through_a_link, study, tmp_path):
    database = tmp_path / "s.db"
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE mine (x)")
    connection.close()
    before = database.read_bytes()
    path = database
    if through_a_link:
        path = tmp_path / "link.html"
        path.symlink_to(database)
    with pytest.raises(ArgumentError, match="SQLite database"):
        write(study, path)
    assert database.read_bytes() == before


def test_the_report_of_a_journal_does_not_replace_the_journal(tmp_path):
    storage = tmp_path / "s.db"
    arguments = {"backend": "random", "n_trials": 2, "storage": storage, "progress": False}
    hpsearch.search(lambda trial: trial["x"], {"x": Float(0, 1)}, **arguments)
    before = storage.read_bytes()
    result = CliRunner().invoke(main, ["report", str(storage), "--output", str(storage)])
    assert result.exit_code == 2
    assert "s.db is a journal" in result.stderr
    assert storage.read_bytes() == before


def test_the_default_name_of_a_report_does_not_replace_the_journal_either(tmp_path):
    storage = tmp_path / "study.html"
    arguments = {"backend": "random", "n_trials": 2, "storage": storage, "progress": False}
    hpsearch.search(lambda trial: trial["x"], {"x": Float(0, 1)}, **arguments)
    assert CliRunner().invoke(main, ["report", str(storage)]).exit_code == 2
    assert len(hpsearch.load(storage).trials) == 2


def test_a_look_at_a_database_leaves_the_locks_that_this_process_holds_on_it(tmp_path):
    database = tmp_path / "s.db"
    elsewhere = (
        "import sqlite3, sys\n"
        "connection = sqlite3.connect(sys.argv[1], timeout=0)\n"
        "try: connection.execute('BEGIN IMMEDIATE')\n"
        "except sqlite3.OperationalError as error: print(error)"
    )
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE mine (x)")
        connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(ArgumentError):
            files.check(database, files.CSV)
        command = [sys.executable, "-c", elsewhere, str(database)]
        answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        assert answer.stdout == "database is locked\n"


def test_a_folder_is_refused_by_name(write, study, tmp_path):
    with pytest.raises(ArgumentError, match="is a folder"):
        write(study, tmp_path)


def test_a_file_in_a_folder_that_does_not_exist_is_one_clear_error(write, study, tmp_path):
    with pytest.raises(HpsearchError, match="cannot be written"):
        write(study, tmp_path / "nowhere" / "file")


def test_a_link_is_followed_and_stays_a_link(write, study, tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    link.symlink_to(target)
    write(study, link)
    write(study, link)
    assert link.is_symlink()
    assert target.stat().st_size


def test_a_pipe_is_written_into(study, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        text = study.to_csv(pipe)
        assert os.read(reader, 65_536).decode() == text
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_write_that_fails_leaves_the_older_file_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    files.write(path, "number,id,state,objective\n", files.CSV)
    with pytest.raises(HpsearchError, match="cannot be written"):
        files.write(path, "number,id,state\n" + "x" * 100_000 + "\ud800", files.CSV)
    assert path.read_text() == "number,id,state,objective\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_replaced_file_keeps_its_permissions_and_a_new_one_has_the_usual(tmp_path):
    new, usual, old = tmp_path / "new", tmp_path / "usual", tmp_path / "old"
    usual.touch()
    files.write(new, "number,id,state,\n", files.CSV)
    assert new.stat().st_mode == usual.stat().st_mode
    files.write(old, "number,id,state,\n", files.CSV)
    old.chmod(0o640)
    files.write(old, "number,id,state,\n", files.CSV)
    assert stat.S_IMODE(old.stat().st_mode) == 0o640


def test_the_demo_refuses_a_report_that_is_not_its_own_before_it_starts(tmp_path):
    (tmp_path / "report.html").write_text("mine")
    result = CliRunner().invoke(main, ["demo", "--output", str(tmp_path)])
    assert result.exit_code == 2
    assert "report.html was not written by hpsearch" in result.stderr
    assert (tmp_path / "report.html").read_text() == "mine"


def test_a_journal_is_safe_whatever_its_path_looks_like(tmp_path):
    journal = tmp_path / "s.db"
    study = hpsearch.search(
        lambda t: t["x"],
        {"x": hpsearch.Float(0, 1)},
        backend="random",
        n_trials=2,
        storage=journal,
        progress=False,
    )
    for name in ("missing/../s.db", "s.db-wal", "s.db-journal", "s.db-shm"):
        for write in (study.to_json, study.to_csv):
            with pytest.raises(ArgumentError):
                write(tmp_path / name)
    assert len(hpsearch.load(journal).trials) == 2
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".lock"] == ["s.db"]
