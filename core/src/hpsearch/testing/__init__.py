"""The conformance kit: what a backend author inherits to show that a plugin keeps the contract.

Needs pytest: ``pip install "hpsearch[testing]"``.
"""

from __future__ import annotations
