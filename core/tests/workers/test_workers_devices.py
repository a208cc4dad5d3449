"""Each worker sees its own devices and its share of the processor."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from threading import Event, Thread

import pytest

from hpsearch.errors import ArgumentError, HpsearchError
from hpsearch.execution.process import devices
from hpsearch.execution.process.devices import divide, visible_devices


@pytest.fixture(autouse=True)
def _leases_of_this_test_alone(monkeypatch, tmp_path):
    """Other tests, and real searches on this machine, lease devices of these names as well."""
    monkeypatch.setattr(devices.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


@pytest.mark.parametrize(
    ("variable", "expected"),
    [
        ("0,1,2", ["0", "1", "2"]),
        (" 3 , 1", ["3", "1"]),
        ("GPU-8932f937,MIG-5c89", ["GPU-8932f937", "MIG-5c89"]),
        ("", []),
        ("-1", []),
        ("0,-1,1", ["0"]),
        ("0,1,0", ["0", "1"]),
    ],
)
def test_the_devices_of_the_environment_are_those_that_cuda_would_see(
    monkeypatch, variable, expected
):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    assert visible_devices() == expected


@pytest.mark.parametrize(("listing", "expected"), [("GPU 0: A\nGPU 1: B\n", ["0", "1"]), ("", [])])
def test_without_the_variable_the_driver_is_asked(monkeypatch, tmp_path, listing, expected):
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\nprintf '{listing}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert visible_devices() == expected


@pytest.mark.parametrize(
    ("count", "n_workers", "per_trial", "expected"),
    [
        (0, None, None, (1, 0)),
        (0, 4, None, (4, 0)),
        (4, None, None, (4, 1)),
        (4, 2, None, (2, 1)),
        (4, None, 2, (2, 2)),
        (5, None, 2, (2, 2)),
        (1, 8, 0, (8, 0)),
        (4, None, 0, (1, 0)),
    ],
)
def test_workers_and_devices_are_divided(count, n_workers, per_trial, expected):
    assert divide([str(n) for n in range(count)], n_workers, per_trial) == expected


@pytest.mark.parametrize(
    ("count", "n_workers", "per_trial", "said"),
    [
        (2, 3, None, "3 worker(s) with 1 device(s) each need 3, and 2 are visible"),
        (0, None, 1, "1 worker(s) with 1 device(s) each need 1, and 0 are visible"),
        (4, 3, 2, "3 worker(s) with 2 device(s) each need 6, and 4 are visible"),
    ],
)
def test_too_few_devices_are_refused(count, n_workers, per_trial, said):
    with pytest.raises(ArgumentError, match=re.escape(said)):
        divide([str(n) for n in range(count)], n_workers, per_trial)


def test_each_worker_sees_its_own_devices(search, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,GPU-a/0,7")

    def objective(trial):
        trial.annotate("sees", os.environ["CUDA_VISIBLE_DEVICES"])
        trial.annotate("pid", os.getpid())
        time.sleep(0.05)
        return trial["x"]

    study = search(objective, devices_per_trial=2, n_workers=None, n_trials=8)
    by_worker = {trial.attrs["pid"]: trial.attrs["sees"] for trial in study.trials}
    first, second = (seen.split(",") for seen in by_worker.values())  # leased in either order
    assert len(first) == len(second) == 2
    assert sorted(first + second) == ["4", "5", "7", "GPU-a/0"]
    assert all(by_worker[t.attrs["pid"]] == t.attrs["sees"] for t in study.trials)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "4,5,GPU-a/0,7"


def test_the_devices_of_a_killed_worker_are_free_again(search, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")

    def objective(trial):
        trial.annotate("sees", os.environ["CUDA_VISIBLE_DEVICES"])
        time.sleep(0.02)
        if trial.number % 3 == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return trial["x"]

    study = search(objective, n_trials=12, max_failures=9)
    assert study.counts()["failed"] == 4
    assert {trial.attrs["sees"] for trial in study.trials} == {"0", "1"}


def a_file(folder):
    folder.touch()


def a_link(folder):
    (folder.parent / "elsewhere").mkdir(mode=0o700)
    folder.symlink_to(folder.parent / "elsewhere")


def open_to_all(folder):
    folder.mkdir()
    folder.chmod(0o777)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (a_file, "is not a folder|File exists"),
        (a_link, "is a symbolic link"),
        (open_to_all, r"is open to other users \(mode 0777\)"),
    ],
)
def test_a_folder_of_leases_that_is_not_the_users_own_is_refused(
    search, monkeypatch, tmp_path, make, said
):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    folder = tmp_path / f"hpsearch-devices-{os.getuid()}"
    make(folder)
    with pytest.raises(HpsearchError, match=said) as raised:
        search(lambda trial: 0.0, n_workers=1)
    assert str(folder) in str(raised.value)


def test_a_folder_of_leases_of_another_user_is_refused(monkeypatch, tmp_path):
    (tmp_path / "hpsearch-devices-4321").mkdir(mode=0o700)
    monkeypatch.setattr(devices.os, "getuid", lambda: 4321)
    with pytest.raises(HpsearchError, match=rf"belongs to user {tmp_path.stat().st_uid};"):
        devices.lease_folder()


def test_no_name_of_a_device_leads_out_of_the_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "set back after the test")
    names = ["../../outside", "/outside", "..", "a/b", "a-b"]
    locks = devices.lease(names, len(names))
    try:
        assert [path.name for path in tmp_path.iterdir()] == [f"hpsearch-devices-{os.getuid()}"]
        assert len(list(devices.lease_folder().iterdir())) == len(names)
    finally:
        for lock in locks:
            lock.release()


def test_isolated_trials_lease_devices_too(search, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")

    def objective(trial):
        trial.annotate("sees", os.environ["CUDA_VISIBLE_DEVICES"])
        return trial["x"]

    study = search(objective, n_workers=1, isolate=True, n_trials=3)
    assert [trial.attrs["sees"] for trial in study.trials] == ["3"] * 3


def test_a_device_that_another_search_uses_is_waited_for(programs, search, monkeypatch, capfd):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    program = (
        "import sys; from hpsearch.execution.process.devices import lease; held = lease(['0'], 1); "
        "print('leased', flush=True); sys.stdin.read()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    other = programs.start(sys.executable, "-c", program, **pipes)
    assert other.stdout.readline() == "leased\n"
    let_go = []

    def let_go_when_it_waits():
        while "[worker 1] waiting for 1 of the devices '0'" not in capfd.readouterr().err:
            if over.wait(0.05):
                return
        let_go.append(time.time())
        other.stdin.close()

    over = Event()
    thread = Thread(target=let_go_when_it_waits)
    thread.start()
    try:
        study = search(lambda trial: time.time(), n_workers=1, n_trials=1)
    finally:
        over.set()
        thread.join()
    assert study.best.objective > let_go[0]


def test_workers_share_all_devices_where_they_are_told_to(search, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")

    def objective(trial):
        trial.annotate("sees", os.environ["CUDA_VISIBLE_DEVICES"])
        return trial["x"]

    study = search(objective, n_workers=3, devices_per_trial=0)
    assert {trial.attrs["sees"] for trial in study.trials} == {"0,1"}


def count_threads(trial):
    import torch

    trial.annotate("variable", os.environ.get("OMP_NUM_THREADS"))
    trial.annotate("torch", torch.get_num_threads())
    return trial["x"]


@pytest.mark.parametrize(
    ("n_workers", "option", "variable", "expected"),
    [
        (2, None, None, "2"),
        (3, None, None, "1"),
        (8, None, None, "1"),
        (1, None, None, None),
        (2, 3, None, "3"),
        (2, None, "5", "5"),
        (2, 3, "5", "3"),
    ],
)
def test_the_processors_cores_are_divided(monkeypatch, n_workers, option, variable, expected):
    monkeypatch.setattr(devices, "_cores", lambda: 4)
    if variable is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", variable)
    environment = {**os.environ, **devices.threads(n_workers, option)}
    assert environment.get("OMP_NUM_THREADS") == expected


def test_torch_uses_the_number_of_threads(search):
    pytest.importorskip("torch")
    study = search(count_threads, n_workers=1, n_trials=1, threads_per_worker=1)
    assert study.trials[0].attrs == {"variable": "1", "torch": 1}
