"""Each test of the kit is failed by a backend that is broken on purpose, and by no other."""

from __future__ import annotations

from collections import defaultdict

import pytest

from hpsearch.testing import BackendConformance
from hpsearch.testing.broken import BROKEN, install
from hpsearch.testing.distributions import fake_distribution, importable

SOUND = ["Sound", "Bare", "Prunes", "OwnsLoop", "Chooses"]
TESTS = {name for name in dir(BackendConformance) if name.startswith("test_")}


class Outcomes:
    """What every test of a nested pytest run came to."""

    def __init__(self):
        self.passed = defaultdict(set)
        self.failed = defaultdict(dict)

    def pytest_runtest_logreport(self, report):
        backend, test = report.nodeid.removesuffix("]").split("::")[-2:]
        backend, test = backend.removeprefix("Test"), test.split("[")[0]
        if report.failed:
            self.failed[backend][test] = str(report.longrepr)
        elif report.when == "call" and report.passed:
            self.passed[backend].add(test)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Run the whole kit on every broken backend and every sound one."""
    folder = install(tmp_path_factory.mktemp("installed"))
    points = {name: f"hpsearch.testing.sound:{name}" for name in SOUND}
    fake_distribution(folder, "hpsearch-sound", entry_points={"hpsearch.backends": points})
    settings = {name: broken.settings for name, broken in BROKEN.items()}
    settings |= {name: {"bad_options": {"warmth": -1.0}} for name in SOUND}
    lines = ["from hpsearch.testing import BackendConformance"]
    for name, values in settings.items():
        lines.append(f"class Test{name}(BackendConformance):\n    backend = {name!r}")
        lines += [f"    {attribute} = {value!r}" for attribute, value in values.items()]
    suite = tmp_path_factory.mktemp("suite") / "test_all.py"
    suite.write_text("\n".join(lines))
    outcomes = Outcomes()
    nested = ["-q", "-p", "no:cacheprovider", "-p", "no:timeout", "-p", "no:logging"]
    with importable(folder):
        pytest.main([str(suite), "--rootdir", str(suite.parent), *nested], plugins=[outcomes])
    return outcomes


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_backend_passes(outcomes, name):
    assert outcomes.failed[name] == {}
    assert len(outcomes.passed[name]) > len(TESTS) / 2


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_backend_is_caught_by_the_test_meant_for_it(outcomes, name):
    assert set(outcomes.failed[name]) == {BROKEN[name].caught_by}


@pytest.mark.parametrize("name", BROKEN)
def test_a_failure_names_the_plugin_the_contract_and_what_happened(outcomes, name):
    test = BROKEN[name].caught_by
    contract = getattr(BackendConformance, test).__doc__.splitlines()[0]
    message = outcomes.failed[name][test]
    assert f"backend {name!r} (hpsearch-broken 1.0) breaks the contract of a backend" in message
    assert f"The contract says:\n    {contract}" in message
    assert "What happened:\n    " in message


def test_every_test_of_the_kit_is_failed_by_a_broken_backend():
    assert {broken.caught_by for broken in BROKEN.values()} == TESTS
