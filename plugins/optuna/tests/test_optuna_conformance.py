"""The backend keeps the contract that the conformance kit states."""

from __future__ import annotations

from hpsearch.testing import BackendConformance


class TestOptuna(BackendConformance):
    backend = "optuna"
    bad_options = {"sampler": "tpe"}
