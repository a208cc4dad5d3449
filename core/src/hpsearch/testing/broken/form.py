"""Broken in their class or its options."""

from __future__ import annotations

from dataclasses import dataclass

from hpsearch.testing.broken.registry import caught_by
from hpsearch.testing.sound import Sound


@dataclass
class _ChangeableOptions:
    warmth: float = 0.0


@caught_by("test_the_class_keeps_the_form_of_a_backend")
class ChangeableOptions(Sound):
    """Its options can be changed while the search runs."""

    Options = _ChangeableOptions


@dataclass(frozen=True)
class _HiddenOptions:
    n_workers: int = 1


@caught_by("test_every_option_can_be_reached")
class HidesAnOption(Sound):
    """Has an option that search() never hands on."""

    Options = _HiddenOptions


@dataclass(frozen=True)
class _CredulousOptions:
    warmth: float = 0.0


@caught_by("test_options_are_checked_before_the_first_trial", bad_options={"warmth": -1.0})
class BelievesItsOptions(Sound):
    """Takes any value for an option."""

    Options = _CredulousOptions
