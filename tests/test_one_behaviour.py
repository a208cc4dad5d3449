"""One behaviour: the same objective gives the same trials inline, in a worker and on Ray."""

from __future__ import annotations

import math
import os
import sys
import threading
import time

import cloudpickle
import pytest

import hpsearch
from hpsearch.errors import ArgumentError, HpsearchError, SearchFailedError, SpaceError

if sys.platform == "win32":
    pytest.skip("worker processes need a POSIX system", allow_module_level=True)

EXECUTORS = ("process", "ray")


def _in_threads(count, target):
    threads = [threading.Thread(target=target, args=(k,)) for k in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# What a trial may do. Each gets the trial, and its objective is what it returns.


def nothing_wrong(trial):
    return trial.suggest_float("x", 0, 1)


def suggests_in_threads(trial):
    wrong = []

    def ask(k):
        if not k <= trial.suggest_float(f"x{k}", k, k + 0.5) <= k + 0.5:
            wrong.append(k)

    for k in range(8):  # drawn in this order, and asked for again in any
        trial.suggest_float(f"x{k}", k, k + 0.5)
    _in_threads(8, ask)
    return float(len(wrong))


def reports_in_threads(trial):
    _in_threads(8, lambda k: trial.report(float(k), k))
    return 0.0


def reports_late(trial):
    channel = trial.channel

    def later():
        time.sleep(0.3)
        for step in range(50):
            try:
                channel.report(step, (99.0,))
                channel.annotate("late", True)
            except HpsearchError:
                pass
            time.sleep(0.01)

    threading.Thread(target=later, daemon=True).start()
    return 0.0


def meets_the_late_one(trial):
    for step in range(10):
        time.sleep(0.1)
        trial.report(1.0, 100 + step)
    return 1.0


def meets_the_next_late_one(trial):
    return meets_the_late_one(trial)


def _child(trial, does):
    child = os.fork()
    if child == 0:
        return does()
    _, status = os.waitpid(child, 0)
    trial.annotate("code", os.waitstatus_to_exitcode(status))
    return 0.0


def forks_a_child_that_returns(trial):
    return _child(trial, lambda: 99.0)


def forks_a_child_that_raises(trial):
    return _child(trial, lambda: 1 / 0)


def forks_a_child_that_exits(trial):
    return _child(trial, lambda: sys.exit(7))


def forks_a_child_that_reports(trial):
    return _child(trial, lambda: trial.report(99.0, 99))


def exits(trial):
    sys.exit(3)


def exits_with_a_text(trial):
    sys.exit("enough")


def raises(trial):
    raise LookupError("not there")


def raises_what_cannot_be_pickled(trial):
    class Own(RuntimeError):
        def __init__(self, lock, text):
            super().__init__(text)
            self.lock = lock

    raise Own(threading.Lock(), "has a lock")


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("no text")


def raises_what_has_no_text(trial):
    raise Unprintable


def raises_an_error_of_ours(trial):
    raise ArgumentError("the user's own use of it")


def prunes_itself(trial):
    trial.report(1.0, 0)
    raise hpsearch.TrialPruned


def reports_the_largest_step(trial):
    trial.report(1.0, 2**63 - 1)
    return 0.0


def reports_a_step_too_large(trial):
    trial.report(1.0, 2**63)


def reports_no_step(trial):
    trial.report(1.0, -1)


def reports_two_values(trial):
    trial.report([1.0, 2.0], 0)


def reports_nan(trial):
    trial.report(math.nan, 0)
    return 0.0


def annotates_and_changes_it(trial):
    fact = {"list": [1]}
    trial.annotate("fact", fact)
    fact["list"].append(2)
    fact["new"] = True
    return 0.0


def annotates_what_is_not_json(trial):
    trial.annotate("fact", {1})


def annotates_a_reserved_name(trial):
    trial.annotate("checkpoints", ["/"])


def annotates_under_no_name(trial):
    trial.annotate(3, "fact")


def annotates_what_holds_itself(trial):
    fact = []
    fact.append(fact)
    trial.annotate("fact", fact)


def annotates_a_number_that_json_lacks(trial):
    trial.annotate("fact", {"nan": math.nan, "inf": -math.inf, "large": 10**30})
    return 0.0


def reports_through_a_trial_that_has_ended(trial):
    def later():
        time.sleep(0.2)
        for step in range(20):
            try:
                trial.report(99.0, step)
                trial.annotate("late", True)
            except HpsearchError:
                pass
            time.sleep(0.01)

    threading.Thread(target=later, daemon=True).start()
    return 0.0


def changes_a_distribution(trial):
    trial.suggest_float("x", 0, 1)
    trial.suggest_float("x", 0, 2)


def sets_a_constraint(trial):
    trial.set_constraint("size", 3)
    return 0.0


def returns_a_text(trial):
    return "0.5"


def returns_nan(trial):
    return math.nan


def returns_two(trial):
    return 1.0, 2.0


def returns_nothing(trial):
    return None


DOES = (
    nothing_wrong,
    suggests_in_threads,
    reports_in_threads,
    reports_late,
    meets_the_late_one,
    forks_a_child_that_returns,
    forks_a_child_that_raises,
    forks_a_child_that_exits,
    forks_a_child_that_reports,
    exits,
    exits_with_a_text,
    raises,
    raises_what_cannot_be_pickled,
    raises_what_has_no_text,
    raises_an_error_of_ours,
    prunes_itself,
    reports_the_largest_step,
    reports_a_step_too_large,
    reports_no_step,
    reports_two_values,
    reports_nan,
    annotates_and_changes_it,
    annotates_what_is_not_json,
    annotates_a_reserved_name,
    annotates_under_no_name,
    annotates_what_holds_itself,
    annotates_a_number_that_json_lacks,
    reports_through_a_trial_that_has_ended,
    meets_the_next_late_one,
    changes_a_distribution,
    sets_a_constraint,
    returns_a_text,
    returns_nan,
    returns_two,
    returns_nothing,
)


def objective(trial):
    return DOES[trial.number](trial)


@pytest.fixture(scope="module", autouse=True)
def _this_module_goes_by_value():
    """Workers cannot import a test file, so its functions are sent by value, as a script's are."""
    module = sys.modules[__name__]
    cloudpickle.register_pickle_by_value(module)
    yield
    cloudpickle.unregister_pickle_by_value(module)


@pytest.fixture(scope="module")
def search(ray_running, tmp_path_factory):
    """Search define-by-run, one trial at a time."""

    def run(function, executor, **options):
        if executor == "ray":
            options["storage_path"] = tmp_path_factory.mktemp("ray")
        return hpsearch.search(
            function,
            backend="random",
            seed=3,
            n_workers=1,
            executor=executor,
            progress=False,
            **options,
        )

    return run


@pytest.fixture(scope="module")
def studies(search):
    """One search in each executor; the n-th trial does the n-th of what a trial may do."""
    options = {"n_trials": len(DOES), "max_failures": math.inf}
    return {name: search(objective, name, **options) for name in ("inline", *EXECUTORS)}


def story(trial):
    return {
        "state": str(trial.state),
        "params": dict(trial.params),
        "objectives": trial.objectives,
        "intermediate": {step: list(map(str, v)) for step, v in trial.intermediate.items()},
        "attrs": repr(dict(trial.attrs)),
        "constraints": dict(trial.constraints),
        "error": trial.error and (trial.error.type, trial.error.message, trial.error.bases),
    }


@pytest.mark.parametrize("does", DOES)
@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_trial_is_the_same_wherever_it_runs(studies, executor, does):
    number = DOES.index(does)
    assert story(studies[executor].trials[number]) == story(studies["inline"].trials[number])


EXPECTED = {
    forks_a_child_that_exits: "complete",
    meets_the_late_one: "complete",
    exits: "SystemExit",
    raises: "LookupError",
    annotates_a_reserved_name: "hpsearch.errors.ArgumentError",
    annotates_under_no_name: "hpsearch.errors.ArgumentError",
    annotates_what_is_not_json: "hpsearch.errors.ArgumentError",
    annotates_what_holds_itself: "hpsearch.errors.ArgumentError",
    raises_what_has_no_text: f"{__name__}.Unprintable",
    reports_a_step_too_large: "hpsearch.errors.ArgumentError",
    changes_a_distribution: "hpsearch.errors.SpaceError",
    returns_nan: "hpsearch.errors.ObjectiveError",
    prunes_itself: "pruned",
}


@pytest.mark.parametrize("does", EXPECTED)
def test_what_comes_of_it_here(studies, does):
    trial = studies["inline"].trials[DOES.index(does)]
    assert (trial.error.type if trial.error else str(trial.state)) == EXPECTED[does]


def test_a_late_report_is_in_no_record(studies):
    for study in studies.values():
        for trial in study.trials:
            assert "late" not in trial.attrs
            assert (99.0,) not in trial.intermediate.values()
        for meets in (meets_the_late_one, meets_the_next_late_one):
            assert len(study.trials[DOES.index(meets)].intermediate) == 10


@pytest.mark.parametrize("executor", ["inline", *EXECUTORS])
def test_catch_means_the_same_everywhere(search, executor):
    study = search(changes_a_distribution, executor, n_trials=2, max_failures=0, catch=SpaceError)
    assert [str(trial.state) for trial in study.trials] == ["failed"] * 2
    with pytest.raises(SearchFailedError, match="max_failures is 0"):
        search(changes_a_distribution, executor, n_trials=2, max_failures=0, catch=LookupError)
