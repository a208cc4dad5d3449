"""Low-discrepancy sequences under the names of qmcpy, which SigOpt's engine imports.

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


class _Sequence:
    """The part of qmcpy's generators that the engine calls."""

    def __init__(self, dimension: int, seed: int | None, **method: Any) -> None:
        del method  # Which scrambling: SciPy has one for each sequence.
        self._dimension = dimension
        # Without a seed qmcpy asks the system for one; a seeded search must not.
        self._seed = int(np.random.randint(2**31)) if seed is None else seed  # noqa: NPY002

    def gen_samples(self, n_min: int, n_max: int) -> NDArray[np.float64]:
        """Return the points of the sequence from one index up to, and without, another."""
        sequence = self._start()
        sequence.fast_forward(n_min)
        points: NDArray[np.float64] = sequence.random(n_max - n_min)
        return points

    def _start(self) -> qmc.QMCEngine:
        raise NotImplementedError


class Halton(_Sequence):
    """A Halton sequence with its digits permuted at random (Owen 2017, arXiv:1706.02808)."""

    def _start(self) -> qmc.QMCEngine:
        return qmc.Halton(self._dimension, scramble=True, rng=np.random.default_rng(self._seed))


class Sobol(_Sequence):
    """A Sobol' sequence with a random linear matrix scramble and a digital shift."""

    def _start(self) -> qmc.QMCEngine:
        return qmc.Sobol(self._dimension, scramble=True, rng=np.random.default_rng(self._seed))
