"""The class that an author of a backend subclasses."""

from __future__ import annotations

from hpsearch.testing.contract.form import FormContract
from hpsearch.testing.contract.space import SpaceContract
from hpsearch.testing.contract.suggestions import SuggestionContract
from hpsearch.testing.contract.trials import ContinuationContract, EndingContract


class BackendConformance(
    FormContract, SpaceContract, SuggestionContract, EndingContract, ContinuationContract
):
    """The whole contract of a backend. Subclass it, set ``backend``, and run pytest.

    What a backend declares must work, and what it does not declare must be refused before the
    first trial. Everything that can be set stands at
    :class:`hpsearch.testing.contract.base.Contract`. A test that cannot hold for a backend is
    overridden with one that says what holds instead.
    """
