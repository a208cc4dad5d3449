"""Sending an evaluation elsewhere: it arrives, or the error names what cannot go."""

from __future__ import annotations

import pickle
import sys
import threading
from types import ModuleType

import cloudpickle
import pytest

from hpsearch.errors import ArgumentError
from hpsearch.execution.evaluate import Evaluate
from hpsearch.execution.pickling import dump_evaluation

LOCK = threading.Lock()


def holding(held):
    """Return an objective that holds something."""
    return lambda trial: (trial["x"], held)[0]


def test_a_closure_arrives_whole():
    evaluate = pickle.loads(dump_evaluation(Evaluate(holding(3), None, 1), cloudpickle.Pickler))
    assert evaluate.objective({"x": 5}) == 5


def test_what_a_function_holds_and_cannot_travel_is_named():
    with pytest.raises(ArgumentError, match=r"the objective uses 'held', TypeError.*lock"):
        dump_evaluation(Evaluate(holding(LOCK), None, 1), cloudpickle.Pickler)
    with pytest.raises(ArgumentError, match="the space function uses 'held'"):
        dump_evaluation(Evaluate(holding(1), holding(LOCK), 1), cloudpickle.Pickler)


class Parted:
    """An objective that names its parts."""

    def __init__(self):
        self.lock = LOCK

    def __call__(self, trial):
        return 0.0

    def parts(self):
        return {"the Trainer's callbacks": [], "the Trainer's compute_metrics": holding(LOCK)}


def test_an_objective_may_name_its_parts():
    with pytest.raises(ArgumentError, match="this cannot go there: the Trainer's compute_metrics"):
        dump_evaluation(Evaluate(Parted(), None, 1), cloudpickle.Pickler)


def test_what_main_defines_can_be_pickled_where_it_arrives(monkeypatch):
    point = type("Point", (), {"__module__": "__main__"})
    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))
    sys.modules["__main__"].Point = point
    packed = dump_evaluation(Evaluate(holding(point()), None, 1), cloudpickle.Pickler)
    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))
    evaluate = pickle.loads(packed)
    held = evaluate.objective.__closure__[0].cell_contents
    assert isinstance(pickle.loads(pickle.dumps(held)), type(held))


def test_what_main_has_where_an_evaluation_arrives_stays(monkeypatch):
    mine = type("Point", (), {"__module__": "__main__"})
    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))
    sys.modules["__main__"].Point = mine
    packed = dump_evaluation(Evaluate(holding(mine()), None, 1), cloudpickle.Pickler)
    there = ModuleType("__main__")
    there.Point = threading
    monkeypatch.setitem(sys.modules, "__main__", there)
    pickle.loads(packed)
    assert there.Point is threading
