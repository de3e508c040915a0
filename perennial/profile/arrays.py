"""
Arrow arrays as numpy's and back, buffer by buffer.

pyarrow's own conversions (`pa.array`, `pa.scalar`, `to_numpy`, a Python value given to a function) import pandas
at their first use wherever it is installed: 0.2 seconds of CPU for a file that takes 0.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

__all__ = [
    "flags_of",
    "from_flags",
    "from_numbers",
    "from_texts",
    "nulls_of",
    "numbers_of",
    "one_text",
    "present_numbers",
    "scalar_of",
]

Flags = NDArray[np.bool_]

_KINDS: dict[Any, Any] = {
    pa.int8(): np.int8, pa.int16(): np.int16, pa.int32(): np.int32, pa.int64(): np.int64,
    pa.uint8(): np.uint8, pa.uint16(): np.uint16, pa.uint32(): np.uint32, pa.uint64(): np.uint64,
    pa.float32(): np.float32, pa.float64(): np.float64,
}  # fmt: skip
_ARROW_KINDS = {np.dtype(kind): arrow for arrow, kind in _KINDS.items()}


def numbers_of(values: Any) -> NDArray[Any]:
    """
    A view of an array of numbers, or of times as the numbers that are stored; where there is a null it holds anything.

    >>> numbers_of(pa.array([1.5, 2.5]).slice(1)).tolist()
    [2.5]
    """
    kind = _KINDS.get(values.type, np.int64)
    if not len(values):
        return np.empty(0, kind)
    return np.frombuffer(values.buffers()[1], kind, len(values), values.offset * np.dtype(kind).itemsize)


def present_numbers(values: Any) -> NDArray[Any]:
    """
    The numbers of an array without its nulls.

    >>> present_numbers(pa.array([1, None, 3])).tolist()
    [1, 3]
    """
    numbers = numbers_of(values)
    # To find the places first and take them then is twice as fast as to index by flags.
    return numbers.take((~nulls_of(values)).nonzero()[0]) if values.null_count else numbers


def flags_of(values: Any) -> Flags:
    """
    An array of booleans; null is False.

    >>> flags_of(pa.array([True, None, False])).tolist()
    [True, False, False]
    """
    if not len(values):
        return np.empty(0, np.bool_)
    flags = _bits(values.buffers()[1], values.offset, len(values))
    return flags & ~nulls_of(values) if values.null_count else flags


def nulls_of(values: Any) -> Flags:
    """
    Where an array is null.

    >>> nulls_of(pa.array(["a", None])).tolist()
    [False, True]
    """
    if not values.null_count:
        return np.zeros(len(values), np.bool_)
    if pa.types.is_null(values.type):
        return np.ones(len(values), np.bool_)
    return ~_bits(values.buffers()[0], values.offset, len(values))


def from_numbers(numbers: NDArray[Any], null: Flags | None = None) -> Any:
    """
    An Arrow array over the memory of a numpy array, null where it is said.

    >>> from_numbers(np.array([3, 4]), np.array([False, True])).to_pylist()
    [3, None]
    """
    kind, held = _ARROW_KINDS[numbers.dtype], np.ascontiguousarray(numbers)
    return pa.Array.from_buffers(kind, len(held), [_present(null), pa.py_buffer(held)])


def from_flags(flags: Flags, null: Flags | None = None) -> Any:
    """
    An Arrow array of booleans, null where it is said.

    >>> from_flags(np.array([True, False])).to_pylist()
    [True, False]
    """
    bits = np.packbits(flags, bitorder="little")
    return pa.Array.from_buffers(pa.bool_(), len(flags), [_present(null), pa.py_buffer(bits)])


def from_texts(texts: Sequence[str | None]) -> Any:
    """
    An Arrow array of text.

    >>> from_texts(["é", None, ""]).to_pylist()
    ['é', None, '']
    """
    present = _present(np.array([text is None for text in texts], np.bool_)) if None in texts else None
    given = [text or "" for text in texts] if present else texts
    joined = "".join(given)  # type: ignore[arg-type]
    lengths = map(len, given if joined.isascii() else [text.encode() for text in given])  # type: ignore
    ends = np.zeros(len(texts) + 1, np.int64)
    np.cumsum(np.fromiter(lengths, np.int64, len(texts)), out=ends[1:])
    buffers = [present, pa.py_buffer(ends), pa.py_buffer(joined.encode())]
    return pa.Array.from_buffers(pa.large_string(), len(texts), buffers).cast(pa.string())


def one_text(text: str) -> Any:
    """The Arrow scalar of a text."""
    return from_texts([text])[0]


def scalar_of(value: bool | float | int | None, kind: Any) -> Any:
    """
    The Arrow scalar of a number or a truth value, cast to a type; None is null.

    >>> scalar_of(3, pa.float64()).as_py(), scalar_of(None, pa.string()).as_py(), scalar_of(True, pa.bool_()).as_py()
    (3.0, None, True)
    """
    if value is None:
        return pa.nulls(1, kind)[0]
    if isinstance(value, bool):
        return from_flags(np.array([value]))[0].cast(kind)
    return from_numbers(np.array([value])).cast(kind)[0]


def _present(null: Flags | None) -> Any:
    return None if null is None or not null.any() else pa.py_buffer(np.packbits(~null, bitorder="little"))


def _bits(buffer: Any, offset: int, count: int) -> Flags:
    first = offset // 8
    packed = np.frombuffer(buffer, np.uint8, (offset + count + 7) // 8 - first, first)
    return np.unpackbits(packed, bitorder="little")[offset % 8 : offset % 8 + count].view(np.bool_)
