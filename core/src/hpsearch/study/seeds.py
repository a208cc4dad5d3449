"""Seeds derived from seeds, so that one number makes a whole search repeatable."""

from __future__ import annotations

import hashlib
import secrets


def derive_seed(seed: int, *path: int | str) -> int:
    """Return a seed from 0 to 2**32 - 1 that depends on ``seed`` and every part of ``path``.

    The same on every platform and Python version: the first four bytes of a BLAKE2b hash.
    """
    text = ":".join(map(str, (seed, *path)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big")


def fresh_seed() -> int:
    """Return an unpredictable seed, for a search that was given none; the study records it."""
    return secrets.randbits(32)
