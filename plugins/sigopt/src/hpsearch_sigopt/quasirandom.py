"""A low-discrepancy sequence under its name in qmcpy, which SigOpt's engine imports.

qmcpy 1.2 has no wheel and needs a C compiler. Of all that it offers the engine draws one thing: a
randomised Halton sequence in one dimension, for the weights of two optimised metrics. There SciPy's
is the same: the van der Corput sequence in base 2 with a random digital shift.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import qmc

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Halton:
    """A Halton sequence with its digits permuted at random (Owen 2017, arXiv:1706.02808).

    Args:
        dimension: How many coordinates a point has.
        seed: Decides the permutations. None takes a seed from NumPy's global random state, of
            which a seeded search is master; qmcpy would ask the system for one.
        **method: How qmcpy randomises, of which it has several ways and SciPy one.
    """

    def __init__(self, dimension: int, seed: int | None, **method: Any) -> None:
        del method
        self._dimension = dimension
        self._seed = int(np.random.randint(2**31)) if seed is None else seed  # noqa: NPY002

    def gen_samples(self, n_min: int, n_max: int) -> NDArray[np.float64]:
        """Return the points of the sequence from one index up to, and without, another."""
        rng = np.random.default_rng(self._seed)
        sequence = qmc.Halton(self._dimension, scramble=True, rng=rng)
        sequence.fast_forward(n_min)
        points: NDArray[np.float64] = sequence.random(n_max - n_min)
        return points
