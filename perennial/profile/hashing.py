"""
64-bit hashes of whole Arrow columns, the same on every machine and in every process.

Words are mixed with the finaliser of SplitMix64 (Steele, Lea and Flood 2014). These hashes spread values for sketches
and find candidates for duplicates; they are no protection against somebody who crafts collisions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from perennial.profile.arrays import flags_of, nulls_of, numbers_of

__all__ = ["hash_column", "hash_numbers", "hash_text", "mix"]

Hashes = NDArray[np.uint64]

_K1, _K2, _GOLDEN = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB), np.uint64(0x9E3779B97F4A7C15)
_FOLD = np.uint64(29)
#: Words that are mixed at once: nine passes over them stay in a core's cache.
_BLOCK = 1 << 14
_MASKS = np.array([(1 << (8 * n)) - 1 for n in range(8)] + [2**64 - 1], np.uint64)


def mix(words: Hashes, out: Hashes | None = None, scratch: Hashes | None = None) -> Hashes:
    """Each word spread over 64 bits; a bijection."""
    h = np.add(words, _GOLDEN, out=out)
    shifted = np.right_shift(h, np.uint64(30), out=scratch)
    h ^= shifted
    h *= _K1
    np.right_shift(h, np.uint64(27), out=shifted)
    h ^= shifted
    h *= _K2
    np.right_shift(h, np.uint64(31), out=shifted)
    h ^= shifted
    return h


def hash_numbers(numbers: NDArray[np.float64], out: Hashes | None = None) -> Hashes:
    """
    A hash of each float's bits, for sketches that look at its leading bits: three passes, where `mix` takes nine.

    One multiplication leaves a lattice behind: sequences of even steps spread more evenly than chance would have it,
    which does a count of the smallest hashes no harm (tests try some hundred steps). `numbers` must be contiguous.
    """
    bits = numbers.view(np.uint64)
    h = np.right_shift(bits, _FOLD, out=out)
    h ^= bits
    h *= _GOLDEN
    return h


def hash_text(values: Any) -> Hashes:
    """
    A hash for each text of an Arrow string or binary array without nulls.

    >>> a, b = hash_text(pa.array(["a", "b", "a"])), hash_text(pa.array(["", "a"]))
    >>> bool(a[0] == a[2] == b[1]), len(set(a.tolist()) | set(b.tolist()))
    (True, 3)
    """
    large = pa.types.is_large_string(values.type) or pa.types.is_large_binary(values.type)
    if not large and not pa.types.is_string(values.type) and not pa.types.is_binary(values.type):
        values = values.cast(pa.string())
    n = len(values)
    if n == 0:
        return np.empty(0, np.uint64)
    _, offsets, data = values.buffers()
    ends = np.frombuffer(offsets, np.int64 if large else np.int32)[values.offset :][: n + 1].astype(np.int64)
    base, top = int(ends[0]), int(ends[-1])
    text = np.zeros(top - base + 8, np.uint8)
    if top > base:
        text[: top - base] = np.frombuffer(data, np.uint8)[base:top]
    ends -= base
    words = np.ndarray((len(text) - 7,), "<u8", buffer=text, strides=(1,))
    start, left = ends[:-1], np.diff(ends)
    h = mix(left.astype(np.uint64))
    rows: Any = slice(None)
    while True:
        word = words[np.minimum(start, len(words) - 1)] & _MASKS[np.minimum(left, 8)]
        h[rows] = mix(h[rows] ^ word)
        active = left > 8
        if not active.any():
            return h
        rows = np.flatnonzero(active) if isinstance(rows, slice) else rows[active]
        start, left = start[active] + 8, left[active] - 8


def hash_column(values: Any) -> Hashes:
    """A hash for each value of an Arrow array of any of our types; nulls have hash 0."""
    if pa.types.is_dictionary(values.type):
        own = np.append(hash_column(values.dictionary), np.uint64(0))
        index = numbers_of(values.indices)
        return own[np.where(nulls_of(values.indices), len(own) - 1, index) if values.indices.null_count else index]
    if pa.types.is_boolean(values.type):
        h = mix(flags_of(values).astype(np.uint64))
    elif pa.types.is_string(values.type) or pa.types.is_large_string(values.type) or pa.types.is_binary(values.type):
        h = hash_text(values)
    else:
        raw = numbers_of(values)
        raw = raw.astype(np.float64) + 0.0 if raw.dtype.kind == "f" else raw.astype(np.int64, copy=False)
        h = _mixed(raw.view(np.uint64))
    if values.null_count:
        h[nulls_of(values)] = 0
    return h


def _mixed(words: Hashes) -> Hashes:
    h, scratch = np.empty(len(words), np.uint64), np.empty(_BLOCK, np.uint64)
    for i in range(0, len(words), _BLOCK):
        part = words[i : i + _BLOCK]
        mix(part, h[i : i + _BLOCK], scratch[: len(part)])
    return h
