"""What can be searched: distributions, conditions between them, and all ways to write a space."""

from __future__ import annotations

from hpsearch.space.distributions import Categorical as Categorical
from hpsearch.space.distributions import Distribution as Distribution
from hpsearch.space.distributions import Float as Float
from hpsearch.space.distributions import Int as Int
from hpsearch.space.distributions import Native as Native
from hpsearch.space.space import Condition as Condition
from hpsearch.space.space import Space as Space
from hpsearch.space.space import when as when
