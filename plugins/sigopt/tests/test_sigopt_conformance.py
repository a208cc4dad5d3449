"""The backend keeps the contract that the conformance kit states, on SigOpt's own optimiser."""

from __future__ import annotations

from hpsearch.testing import BackendConformance


class TestSigOptLite(BackendConformance):
    backend = "sigopt"
    n_trials = 8
    refuses = frozenset({"float-single", "int-single", "categorical-single"})
    bad_options = {"type": "grid", "metrics": "loss", "compute_mode": "gp", "api_token": 5}
