"""The contract of a backend, as tests; :class:`hpsearch.testing.BackendConformance` is all."""
