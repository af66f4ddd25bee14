"""Random bits as a pure function of seed and step: those of `tf.random.stateless_uniform`.

A pruned model's masks follow from its seeds and the step alone, so that a run goes on with the
same ones wherever it is resumed. That needs one generator for all frameworks.

Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", 2011
(Philox4x32-10); how a seed becomes key and counter is TensorFlow's (core/kernels/
stateless_random_ops.cc).
"""

from __future__ import annotations

import numpy as np

MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
WEYL = 0x9E3779B9, 0xBB67AE85  # what the keys grow by, from round to round
ROUNDS = 10
SCRAMBLE = 0x3EC8F720, 0x02461E29  # the key under which TensorFlow mixes a seed
LOW = 0xFFFFFFFF


def bits(count: int, seed: int, step: int) -> np.ndarray:
    """Makes random bits.

    Args:
        count: How many.
        seed: An integer of 64 bits, not negative.
        step: Another one.

    Returns:
        Integers of shape (count,), uint32.
    """
    start = np.array([[seed & LOW, seed >> 32, step & LOW, step >> 32]], np.uint64)
    key0, key1, high0, high1 = _mix(start, *SCRAMBLE)[0].tolist()
    blocks = np.arange(-(-count // 4), dtype=np.uint64)  # of four numbers each
    counters = np.empty((len(blocks), 4), np.uint64)
    counters[:, 0], counters[:, 1], counters[:, 2:] = blocks & LOW, blocks >> 32, (high0, high1)
    return _mix(counters, key0, key1).ravel()[:count].astype(np.uint32)


def _mix(counters: np.ndarray, key0: int, key1: int) -> np.ndarray:
    """Mixes each row of counters under a key, shape (blocks, 4), uint64 of 32 bits each."""
    first, second, third, fourth = counters.T
    for number in range(ROUNDS):
        product, other = first * MULTIPLIERS[0], third * MULTIPLIERS[1]
        keys = [(key + number * grows) & LOW for key, grows in zip((key0, key1), WEYL, strict=True)]
        first, second = (other >> 32) ^ second ^ keys[0], other & LOW
        third, fourth = (product >> 32) ^ fourth ^ keys[1], product & LOW
    return np.stack([first, second, third, fourth], axis=1)
