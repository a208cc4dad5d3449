"""The store through which ranks send each other messages, and the bound, in one process."""

import pytest
from torch import distributed

from hpsearch.errors import ArgumentError, RankError, SearchFailedError
from hpsearch.study.outcome import TrialState
from hpsearch.study.record import TrialRecord
from hpsearch.study.study import Study
from hpsearch.transformers.ranks import result
from hpsearch.transformers.ranks.store import KeyValueStore


@pytest.fixture
def stores():
    """One store, as each of two ranks has it."""
    store = distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    other = distributed.TCPStore("127.0.0.1", store.port, wait_for_workers=False)
    return KeyValueStore(store, 0, 2, "search 0"), KeyValueStore(other, 1, 2, "search 0")


def wait(store, key):
    """Read a message that is there, or on its way to the store."""
    return store.read(key, lambda: None)


def test_a_message_arrives_as_it_was_written(stores):
    message = {"none": None, "floats": [0.1, 1e-300, float("inf")], "text": "ä\n1 2", "empty": {}}
    stores[0].write("message", message)
    assert wait(stores[1], "message") == message


def test_a_message_may_be_larger_than_what_the_store_takes_at_once(stores):
    message = {"text": "x" * (20 << 20)}
    stores[0].write("message", message)
    assert wait(stores[1], "message") == message


def test_the_first_claim_stays(stores):
    stores[1].claim("first", {"rank": 1})
    stores[0].claim("first", {"rank": 0})  # answered by the store, so it is there
    assert stores[0].peek("first") == stores[1].peek("first") == {"rank": 1}


def test_whoever_waits_can_give_up(stores):
    def give_up():
        raise RankError("enough")

    with pytest.raises(RankError, match="enough"):
        stores[1].read("never", give_up)


def test_the_messages_of_finished_turns_are_deleted(stores):
    for turn in range(4):
        stores[0].next_turn()
        stores[0].write(f"{turn}/message", {})
    wait(stores[1], "3/message")
    assert [stores[1].peek(f"{turn}/message") for turn in range(4)] == [None, {}, {}, {}]


def test_a_study_is_the_same_on_the_other_side():
    trial = TrialRecord(0, params={"x": 0.5}, study_seed=7, started=1.0)
    trial.state, trial.objectives, trial.ended = TrialState.COMPLETE, (0.25,), 2.0
    trial.intermediate = {3: (0.5,), 6: (float("nan"),)}
    trial.derive({"y": 1})
    study = Study("s", ("minimize",), n_trials=2, seed=7, backend="random", trials=[trial])
    study.native = object()
    other = result.study_of(result.message_of_study(study))
    assert repr(other.trials) == repr(study.trials)
    assert other.trials[0].seed == trial.seed
    assert list(other.trials[0].intermediate) == [3, 6]
    assert other.best == ("0", 0.25, {"x": 0.5, "y": 1}, None)  # an engine's object stays behind
    assert other.best.trial is other.trials[0]


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (ArgumentError("n is 0"), ArgumentError, "n is 0"),
        (SearchFailedError("5 in a row", Study("s", ("minimize",))), SearchFailedError, "5 in a"),
        (ZeroDivisionError("oh"), RankError, "rank 0 ended the search with ZeroDivisionError: oh"),
    ],
)
def test_an_error_is_the_same_on_the_other_side(error, kind, text):
    with pytest.raises(kind, match=text) as raised:
        result.study_of(result.message_of_error(error))
    assert type(raised.value) is kind
    assert hasattr(raised.value, "study") == hasattr(error, "study")


def test_the_bound_is_a_number_of_seconds(search, make_trainer):
    for wrong in (0, -1, float("inf"), True, "60"):
        with pytest.raises(
            ArgumentError, match="rank_timeout is .* expected a finite number of seconds"
        ):
            search(make_trainer(), rank_timeout=wrong)
