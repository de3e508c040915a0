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

__all__ = ["hash_column", "hash_numbers", "hash_text", "mix"]

Hashes = NDArray[np.uint64]
Shorts = NDArray[np.uint32]

_K1, _K2, _GOLDEN = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB), np.uint64(0x9E3779B97F4A7C15)
_S1, _S2 = np.uint32(0x9E3779B1), np.uint32(0x85EBCA77)
_ROUNDS = ((np.uint32(15), np.uint32(0x2C1B3C6D)), (np.uint32(13), np.uint32(0x297A2D39)))
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


def hash_numbers(numbers: NDArray[np.float64], out: Shorts | None = None, scratch: Shorts | None = None) -> Shorts:
    """
    A 32-bit hash of each float's bits, for sketches: half the width, so that the processor does twice as many at once.

    `out` and `scratch`, if given, are as long as `numbers`, which must be contiguous.
    """
    halves = numbers.view(np.uint32)
    h = np.multiply(halves[::2], _S1, out=out)
    other = np.multiply(halves[1::2], _S2, out=scratch)
    h ^= other
    for shift, factor in _ROUNDS:
        np.right_shift(h, shift, out=other)
        h ^= other
        h *= factor
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
    """A hash for each value of an Arrow array of any of our types; nulls hash alike."""
    if pa.types.is_dictionary(values.type):
        own = np.append(hash_column(values.dictionary), np.uint64(0))
        index = values.indices.fill_null(len(values.dictionary)).to_numpy(zero_copy_only=False)
        return np.asarray(own[index])
    if pa.types.is_boolean(values.type):
        words = values.cast(pa.uint8()).fill_null(2).to_numpy(zero_copy_only=False).astype(np.uint64)
        return mix(words)
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type) or pa.types.is_binary(values.type):
        h = hash_text(values.fill_null("") if values.null_count and not pa.types.is_binary(values.type) else values)
    else:
        if pa.types.is_timestamp(values.type):
            values = values.cast(pa.int64())
        numbers = values.fill_null(0) if values.null_count else values
        raw = numbers.to_numpy(zero_copy_only=False)
        raw = raw.astype(np.float64) + 0.0 if raw.dtype.kind == "f" else raw.astype(np.int64)
        h = mix(raw.view(np.uint64))
    if values.null_count:
        h[values.is_null().to_numpy(zero_copy_only=False)] = 0
    return h
