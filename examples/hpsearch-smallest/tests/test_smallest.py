"""The smallest backend keeps the whole contract."""

from hpsearch.testing import BackendConformance


class TestSmallest(BackendConformance):
    backend = "smallest"
