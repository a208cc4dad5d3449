"""Each kind of argument: what passes and as what, and what the error says of the rest."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np
import pytest

from hpsearch import validators
from hpsearch.errors import ArgumentError, OptionError, SpaceError

PASSES = [
    (validators.whole, 3, 3, {}),
    (validators.whole, np.int64(3), 3, {}),
    (validators.optional_whole, None, None, {}),
    (validators.limit, 3, 3, {}),
    (validators.limit, 3.0, 3, {}),
    (validators.limit, math.inf, math.inf, {}),
    (validators.number, 3, 3, {}),
    (validators.number, np.float64(0.5), 0.5, {"above": 0}),
    (validators.number, 0, 0, {"least": 0}),
    (validators.seconds, 2, 2.0, {}),
    (validators.seconds, None, None, {}),
    (validators.flag, False, False, {}),
    (validators.text, "run", "run", {}),
    (validators.one_of, "lite", "lite", {"known": ("lite", "server")}),
    (validators.mapping, {"x": 1}, {"x": 1}, {}),
    (validators.items, (1, 2), [1, 2], {}),
    (validators.texts, iter(["a", "b"]), ["a", "b"], {}),
]

REFUSED = [
    (validators.whole, True, {}, "n is True, expected a whole number of at least 0"),
    (validators.whole, np.True_, {}, "n is np.True_, expected a whole number of at least 0"),
    (validators.whole, np.array([1]), {}, "n is array([1]), expected a whole number of at least 0"),
    (validators.whole, np.array(0.5), {}, "n is array(0.5), expected a whole number of at least 0"),
    (validators.whole, 1.0, {}, "n is 1.0, expected a whole number of at least 0"),
    (
        validators.whole,
        4,
        {"below": 4},
        "n is 4, expected a whole number of at least 0 and below 4",
    ),
    (validators.limit, -1, {}, "n is -1, expected a whole number of at least 0 or inf"),
    (validators.limit, -math.inf, {}, "n is -inf, expected a whole number of at least 0 or inf"),
    (validators.limit, math.nan, {}, "n is nan, expected a whole number of at least 0 or inf"),
    (validators.number, True, {}, "n is True, expected a finite number"),
    (validators.number, math.nan, {}, "n is nan, expected a finite number"),
    (validators.number, -0.5, {"least": 0}, "n is -0.5, expected a finite number of at least 0"),
    (validators.number, 1, {"above": 1}, "n is 1, expected a finite number above 1"),
    (validators.seconds, math.inf, {}, "n is inf, expected a finite number of seconds above 0"),
    (validators.seconds, 0, {}, "n is 0, expected a finite number of seconds above 0"),
    (validators.flag, 1, {}, "n is 1, expected True or False"),
    (validators.text, " ", {}, "n is ' ', expected a text that is not empty"),
    (validators.text, "\ud800", {}, r"n is '\ud800', expected a text that is not empty"),
    (validators.text, b"key", {"secret": True}, "n is bytes, expected a text that is not empty"),
    (
        validators.one_of,
        "sever",
        {"known": ("lite", "server", "none"), "hint": "; see the page"},
        "n is 'sever', expected 'lite', 'server' or 'none'. Did you mean 'server'?; see the page",
    ),
    (validators.one_of, 3, {"known": ("lite", "server")}, "n is 3, expected 'lite' or 'server'"),
    (validators.mapping, [1], {}, "n is [1], expected a mapping of names to values"),
    (validators.mapping, {1: 2}, {}, "n has the key 1, expected names as text"),
    (
        validators.mapping,
        "http://me:pass@host",
        {"kind": "URLs by scheme", "secret": True},
        "n is str, expected URLs by scheme",
    ),
    (validators.items, "ab", {}, "n is 'ab', expected a list"),
    (validators.texts, "ab", {}, "n is 'ab', expected a list"),
    (validators.texts, ["a", 3], {}, "an item of n is 3, expected a text that is not empty"),
]


@pytest.mark.parametrize(("check", "value", "plain", "bounds"), PASSES)
def test_what_is_of_its_kind_comes_back_as_a_plain_value(check, value, plain, bounds):
    returned = check("n", value, **bounds)
    assert returned == plain
    assert type(returned) is type(plain)


@pytest.mark.parametrize(("check", "value", "bounds", "sentence"), REFUSED)
def test_what_is_not_of_its_kind_is_refused_with_what_was_given_and_expected(
    check, value, bounds, sentence
):
    for error in (ArgumentError, SpaceError):
        with pytest.raises(error, match=f"^{re.escape(sentence)}$") as caught:
            check("n", value, error=error, **bounds)
        assert type(caught.value) is error


@pytest.mark.parametrize("check", [validators.number, validators.seconds, validators.limit])
def test_an_int_beyond_any_float_gets_no_overflow_error(check):
    if check is validators.limit:
        assert check("n", 10**400) == 10**400
    else:
        with pytest.raises(ArgumentError, match="expected a finite number"):
            check("n", 10**400)


@dataclass(frozen=True, slots=True)
class Options:
    count: int | None = None
    strict: bool = False

    def __post_init__(self):
        validators.check_options(self, validators.whole, "count", least=1)
        validators.check_options(self, validators.flag, "strict")


def test_options_keep_the_plain_value_and_none_where_that_is_the_default():
    assert Options().count is None
    assert type(Options(count=np.int64(2)).count) is int


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"count": 0}, "count is 0, expected a whole number of at least 1"),
        ({"strict": None}, "strict is None, expected True or False"),
    ],
)
def test_an_option_that_is_not_of_its_kind_is_an_option_error(given, sentence):
    with pytest.raises(OptionError, match=sentence):
        Options(**given)
