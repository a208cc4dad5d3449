"""A sweep of a server keeps the contract that the conformance kit states."""

from __future__ import annotations

from typing import ClassVar

import pytest

from hpsearch.testing import BackendConformance

pytestmark = [
    # wandb leaves the file with a run's parameters to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.usefixtures("server"),
    pytest.mark.slow,
]


class TestOnline(BackendConformance):
    """Each trial is a run of the agent's, and takes most of a second."""

    backend = "wandb"
    n_trials = 6
    options: ClassVar = {"mode": "online"}

    def test_hopeless_trials_are_pruned_or_never(self) -> None:
        """See test_wandb_online, where trials last long enough."""
        pytest.skip("W&B hears of reports, and stops runs, seconds later than these trials end")

    def test_every_parameter_is_suggested_and_no_other(self) -> None:
        """See test_a_name_that_wandb_has_not_is_refused."""
        pytest.skip("W&B has names of letters, digits, '_', '-' and '.' alone")
