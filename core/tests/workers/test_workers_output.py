"""What workers write is shown line by line, each with its trial, and harms no progress bar."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
import time

import pytest

import hpsearch
from hpsearch import Float
from hpsearch.execution.process.output import Output


def test_each_line_has_the_mark_of_its_trial_and_keeps_its_stream(search, capfd):
    def objective(trial):
        print("out of", trial.number)
        print("err of", trial.number, file=sys.stderr)
        os.write(1, b"written below Python, not ended")
        return trial["x"]

    search(objective, n_trials=8)
    out, err = capfd.readouterr()
    assert sorted(out.splitlines()) == sorted(
        line
        for number in range(8)
        for line in (
            f"[trial {number}] out of {number}",
            f"[trial {number}] written below Python, not ended",
        )
    )
    assert sorted(err.splitlines()) == [f"[trial {n}] err of {n}" for n in range(8)]


def test_lines_of_several_workers_are_not_mixed(search, capfd):
    def objective(trial):
        for line in range(200):
            for part in (f"{trial.number}", "-" * 300, f"{line}\n"):
                sys.stdout.write(part)
                sys.stdout.flush()
        return trial["x"]

    search(objective, n_trials=6, n_workers=3)
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) == 6 * 200
    for line in lines:
        assert re.fullmatch(r"\[trial (\d)\] \1-{300}\d+", line), line


def test_a_progress_bar_of_a_trial_becomes_one_line(search, capfd):
    def objective(trial):
        from tqdm import tqdm

        for _ in tqdm(range(50), desc="training", mininterval=0):
            time.sleep(0.001)
        return trial["x"]

    search(objective, n_trials=2)
    lines = [line for line in capfd.readouterr().err.splitlines() if "training" in line]
    assert len(lines) == 2
    for line in lines:
        assert re.match(r"\[trial \d\] training: 100%.*50/50", line), line


def test_warnings_and_logs_of_a_trial_are_shown_as_its_own(search, capfd):
    def objective(trial):
        logging.getLogger("user").warning("careful")
        return trial["x"]

    search(objective, n_trials=2)
    assert sorted(capfd.readouterr().err.splitlines()) == [
        "[trial 0] careful",
        "[trial 1] careful",
    ]


def test_a_worker_never_waits_for_its_output_to_be_read(search, capfd):
    class Slow:
        @hpsearch.hookimpl
        def hpsearch_tell(self):
            time.sleep(0.2)

    def objective(trial):
        sys.stdout.write(f"{'x' * 1023}\n" * 2000)
        return trial["x"]

    search(objective, n_trials=4, plugins=[Slow()])
    assert len(capfd.readouterr().out.splitlines()) == 4 * 2000


BAR = """
import sys
import hpsearch

def objective(trial):
    print("line of", trial.number, file=sys.stderr)
    return trial["x"]

hpsearch.search(
    objective, {"x": hpsearch.Float(0, 1)}, backend="random", n_trials=4, n_workers=2,
    executor="process", progress=True,
)
"""


def test_the_searchs_own_bar_is_unharmed(programs):
    result = programs.run(sys.executable, "-c", BAR)
    assert result.returncode == 0, result.stderr
    # On a terminal, what follows a carriage return covers what stands before it.
    shown = [line.rpartition("\r")[2].rstrip() for line in result.stderr.splitlines()]
    lines = sorted(line for line in shown if line.startswith("[trial"))
    assert lines == [f"[trial {number}] line of {number}" for number in range(4)]
    assert re.match(r"study: 100%.*4/4.*best=", shown[-3])
    assert shown[-1].startswith("best trial ")


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("one\ntwo", ["one", "two"]),
        ("dos\r\nlines\r\n", ["dos", "lines"]),
        ("10%\r20%\r30%\nend\n", ["30%", "end"]),
        ("bar\r\x1b[Kdone\n", ["done"]),
        ("\r   \r\nnext\n", ["next"]),
        ("\n", [""]),
        ("\x1b[31mred\x1b[0m\n", ["\x1b[31mred\x1b[0m"]),
        ("caf\xe9\n", ["caf\xe9"]),
        ("y" * 70_000, ["y" * 65_536 + "y" * (70_000 - 65_536)]),
    ],
)
def test_lines_as_a_terminal_would_show_them(programs, capfd, written, shown):
    program = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = programs.start(sys.executable, "-c", program, **pipes, text=False, bufsize=0)
    output = Output(process, "w")
    process.stdin.write(written.encode())
    process.stdin.close()
    process.wait()
    output.close()
    assert "".join(capfd.readouterr().out.replace("[w] ", "").split("\n")) == "".join(shown)


def test_a_closed_standard_stream_ends_no_search(search, monkeypatch):
    def objective(trial):
        print("to nobody")
        return trial["x"]

    monkeypatch.setattr(sys, "stdout", None)
    assert search(objective).counts()["complete"] == 6


def test_searches_in_processes_show_no_noise_of_their_own(capfd):
    hpsearch.search(
        lambda trial: trial["x"],
        {"x": Float(0, 1)},
        backend="random",
        executor="process",
        isolate=True,
        n_workers=2,
        n_trials=4,
        progress=False,
    )
    assert capfd.readouterr() == ("", "")
