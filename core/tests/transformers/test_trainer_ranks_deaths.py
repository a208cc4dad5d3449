"""Ranks that are killed, interrupted or stuck: the others end, and the journal goes on."""

import os
import re
import signal
import sys
import time
from pathlib import Path

import pytest

from hpsearch.storage.journal import load

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sends signals, reads /proc")

TRAINS = re.compile(r"rank (\d) pid (\d+) trains run-(\d+)")

# In order: each goes on where the one before was stopped, in the middle of its second trial.
FAULTS = {
    "SIGINT to the launcher": (signal.SIGINT, None),
    "SIGTERM to the launcher": (signal.SIGTERM, None),
    "SIGKILL to rank 0": (signal.SIGKILL, 0),
    "SIGKILL to rank 1": (signal.SIGKILL, 1),
    "SIGINT to rank 1": (signal.SIGINT, 1),
}


def in_second_trial(process):
    """Read the output until both ranks train their second trial; return it and their pids.

    That trial goes on until it is interrupted, however long the interrupt takes.
    """
    output, pids, trials = "", {}, set()
    for line in process.stdout:
        output += line
        for rank, pid, trial in TRAINS.findall(line):
            pids[int(rank)] = int(pid)
            trials.add((rank, trial))
        if len(trials) == 4:
            return output, pids
    raise AssertionError(output)


def is_running(pid):
    """Whether a process is there and no zombie."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def all_end(pids):
    """Wait for processes that are about to end; say whether they do."""
    for _ in range(600):
        if not any(map(is_running, pids)):
            return True
        time.sleep(0.1)
    return False


@pytest.fixture(scope="module")
def story(torchrun, tmp_path_factory):
    """What each fault left: output, exit code, whether all ranks ended, and the journal."""
    folder = tmp_path_factory.mktemp("deaths")
    told = {}
    for fault, (number, rank) in FAULTS.items():
        process = torchrun("slow.py", folder, 100, "hold")
        before, pids = in_second_trial(process)
        os.kill(process.pid if rank is None else pids[rank], number)
        after, _ = process.communicate()
        all_ended = all_end(pids.values())
        trials = load(folder / "study.db").trials
        told[fault] = (before + after, process.returncode, all_ended, trials)
    process = torchrun("slow.py", folder, 8)
    output, _ = process.communicate()
    told["nothing"] = (output, process.returncode, True, load(folder / "study.db").trials)
    return told


@pytest.mark.parametrize("fault", FAULTS)
def test_no_rank_lives_on_and_the_launch_says_that_it_failed(story, fault):
    _, returncode, all_ended, _ = story[fault]
    assert returncode != 0
    assert all_ended


@pytest.mark.parametrize("fault", FAULTS)
def test_the_journal_has_every_trial_that_had_ended(story, fault):
    *_, trials = story[fault]
    ended = [trial.number for trial in trials if trial.state == "complete"]
    assert ended == list(range(1 + list(FAULTS).index(fault)))
    assert len(trials) == len(ended) + 1  # and the one that was stopped


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if "SIGINT" in fault])
def test_an_interrupt_ends_the_search_in_order_on_each_rank(story, fault):
    output, *_, trials = story[fault]
    done = 1 + list(FAULTS).index(fault)
    for rank in range(2):
        assert f"rank {rank} interrupted: interrupted with {done} trials complete" in output
    assert trials[-1].error.type == "Interrupted"


def test_the_search_goes_on_where_it_was_stopped_to_its_total(story):
    output, returncode, _, trials = story["nothing"]
    assert returncode == 0
    assert [(trial.number, str(trial.state)) for trial in trials] == [
        (number, "complete") for number in range(8)
    ]
    # Each trial ran to its end once, in whichever launch.
    trained = [int(number) for _, _, number in TRAINS.findall(output)]
    assert sorted(trained) == [5, 5, 6, 6, 7, 7]
    found = re.findall(r"rank \d (found .*)", output)
    assert len(found) == 2
    assert len(set(found)) == 1


@pytest.mark.parametrize("killed", [0, 1])
def test_where_nobody_watches_over_the_ranks_the_other_one_ends_too(
    two_processes, tmp_path, killed
):
    processes = two_processes("slow.py", tmp_path, 100, "hold")
    assert any("trains run-1" in line for line in processes[killed].stdout)
    processes[killed].kill()
    output, _ = processes[1 - killed].communicate()
    assert processes[1 - killed].returncode == 1
    # The words in which a connection breaks depend on what the rank does at that moment.
    if killed:
        assert "rank 0 left a trial: " in output
        assert "within rank_timeout=3 s, so rank 0 ends" in output
    else:
        assert "rank 0, which leads the search, cannot be reached" in output
    assert [str(trial.state) for trial in load(tmp_path / "study.db").trials] == [
        "complete",
        "running",
    ]


@pytest.mark.parametrize(
    ("failing", "how"),
    [(0, "busy"), (1, "group held")],
    ids=["a rank that is busy elsewhere", "a process group that the user holds"],
)
def test_ranks_that_cannot_be_brought_together_end_with_the_cause(
    two_processes, tmp_path, failing, how
):
    processes = two_processes("stuck.py", tmp_path, failing, how)
    for rank, process in enumerate(processes):
        output, _ = process.communicate()
        assert process.returncode == 1
        assert f"rank {failing} left a trial: ValueError: boom on rank {failing}" in output
        assert f"within rank_timeout=3 s, so rank {rank} ends" in output
    trials = load(tmp_path / "study.db").trials
    assert [str(trial.state) for trial in trials] == ["complete", "running"]
