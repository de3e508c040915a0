"""A profile: everything that drift checks need of a batch, in a few tens of KB, exactly mergeable."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.contract import Grid
from perennial.errors import ProfileMismatch
from perennial.profile.categories import CategoryCounts
from perennial.profile.codec import Arrays, pack, payload, unpack
from perennial.profile.columns import PAIR_CELLS, ColumnProfile, TextSummary
from perennial.profile.distinct import DistinctSketch
from perennial.profile.histogram import Histogram
from perennial.profile.moments import Moments
from perennial.profile.reservoir import Reservoir

__all__ = ["Profile", "merge"]

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Profile:
    """
    `rows` rows summarised column by column, pair by pair, and by a sample.

    Merging is exact, commutative and associative: `profile(A + B) == profile(A).merge(profile(B))`, byte for byte in
    `to_bytes`. Two profiles are equal when their bytes are.
    """

    rows: int
    columns: dict[str, ColumnProfile]
    pairs: dict[tuple[str, str], Ints]
    reservoir: Reservoir

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Profile) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"Profile(rows={self.rows}, columns={list(self.columns)}, digest={self.digest[:12]!r})"

    def merge(self, other: Profile) -> Profile:
        """
        The profile of both sets of rows.

        Raises
        ------
        ProfileMismatch
            Other columns, kinds, grids or pairs.
        """
        apart = set(self.columns) ^ set(other.columns) | {" x ".join(p) for p in set(self.pairs) ^ set(other.pairs)}
        if apart:
            raise ProfileMismatch(f"profiles must be of one contract. Got a difference in {sorted(apart)} instead")
        return Profile(
            self.rows + other.rows,
            {name: column.merge(other.columns[name]) for name, column in self.columns.items()},
            {pair: cells + other.pairs[pair] for pair, cells in self.pairs.items()},
            self.reservoir.merge(other.reservoir),
        )

    def to_bytes(self) -> bytes:
        """The stored form; see perennial.profile.codec."""
        return pack(self._payload)

    @classmethod
    def from_bytes(cls, stored: bytes) -> Profile:
        """
        The profile of stored bytes.

        Raises
        ------
        ProfileMismatch
            No profile, of another version, or damaged.
        """
        header, arrays = unpack(stored)
        try:
            return _decode(header, arrays)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise ProfileMismatch(f"a profile's header must fit its schema. Got {error!r} instead") from error

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the content, hex; the same wherever the profile was made."""
        return hashlib.sha256(self._payload).hexdigest()

    @cached_property
    def _payload(self) -> bytes:
        arrays = Arrays()
        header = {
            "rows": self.rows,
            "columns": [_encode_column(self.columns[name], arrays) for name in sorted(self.columns)],
            "pairs": [[a, b, arrays.put(self.pairs[a, b])] for a, b in sorted(self.pairs)],
            "reservoir": _encode_reservoir(self.reservoir, arrays),
        }
        return payload(header, arrays)


def merge(profiles: Iterable[Profile]) -> Profile:
    """
    The profile of all rows of `profiles`, in any order.

    Raises
    ------
    ProfileMismatch
        None given, or of different contracts.
    """
    given = list(profiles)
    if not given:
        raise ProfileMismatch("merge must get at least one profile. Got none instead")
    return reduce(Profile.merge, given)


def _encode_column(column: ColumnProfile, arrays: Arrays) -> dict[str, Any]:
    header: dict[str, Any] = {
        "name": column.name,
        "kind": column.kind,
        "count": column.count,
        "null_count": column.null_count,
        "minimum": column.minimum,
        "maximum": column.maximum,
    }
    if column.bins is not None:
        bins = column.bins
        header["grid"] = [bins.grid.center, bins.grid.scale]
        header["bins"] = [bins.level, arrays.put(np.diff(bins.keys, prepend=0)), arrays.put(bins.counts)]
    if column.moments is not None:
        header["moments"] = _encode_moments(column.moments)
    if column.categories is not None:
        header["categories"] = _encode_categories(column.categories, arrays)
    if column.text is not None:
        header["characters"] = _encode_moments(column.text.characters)
        header["tokens_per_text"] = _encode_moments(column.text.tokens_per_text)
        header["tokens"] = _encode_categories(column.text.tokens, arrays)
    if column.hours_of_week is not None:
        header["hours_of_week"] = arrays.put(column.hours_of_week)
    if column.distinct is not None:
        header["distinct"] = arrays.put(column.distinct.registers)
    return header


def _encode_moments(moments: Moments) -> list[int]:
    return [moments.count, moments.first, moments.second]


def _encode_categories(counts: CategoryCounts, arrays: Arrays) -> list[Any]:
    numbers = np.array(list(counts.counts.values()), np.int64)
    return [counts.limit, counts.threshold, list(counts.counts), arrays.put(numbers), arrays.put(counts.remainder)]


def _encode_reservoir(reservoir: Reservoir, arrays: Arrays) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for name, values in sorted(reservoir.columns.items()):
        if isinstance(values, list):
            distinct = sorted({v for v in values if v is not None})
            place = {v: i + 1 for i, v in enumerate(distinct)}
            columns[name] = [distinct, arrays.put(np.array([place.get(v, 0) for v in values], np.int64))]  # type: ignore[arg-type]
        else:
            columns[name] = arrays.put(values)
    return {"ranks": arrays.put(reservoir.ranks), "columns": columns}


def _decode(header: dict[str, Any], arrays: list[NDArray[Any]]) -> Profile:
    columns = {h["name"]: _decode_column(h, arrays) for h in header["columns"]}
    pairs = {(a, b): arrays[i].astype(np.int64).reshape(PAIR_CELLS, PAIR_CELLS) for a, b, i in header["pairs"]}
    kept: dict[str, NDArray[np.float64] | list[str | None]] = {}
    for name, held in header["reservoir"]["columns"].items():
        if isinstance(held, list):
            kept[name] = [held[0][i - 1] if i else None for i in arrays[held[1]].tolist()]
        else:
            kept[name] = arrays[held].astype(np.float64)
    ranks = arrays[header["reservoir"]["ranks"]].astype(np.uint64).reshape(-1, 2)
    return Profile(header["rows"], columns, pairs, Reservoir(ranks, kept))


def _decode_column(h: dict[str, Any], arrays: list[NDArray[Any]]) -> ColumnProfile:
    grid = Grid(center=h["grid"][0], scale=h["grid"][1]) if "grid" in h else Grid()
    length_grid = Grid()
    bins = categories = text = hours = distinct = None
    if "bins" in h:
        level, keys, counts = h["bins"]
        bins = Histogram(grid, level, np.cumsum(arrays[keys].astype(np.int64)), arrays[counts].astype(np.int64))
    if "categories" in h:
        categories = _decode_categories(h["categories"], arrays)
    if "tokens" in h:
        text = TextSummary(
            Moments(length_grid, *h["characters"]),
            Moments(length_grid, *h["tokens_per_text"]),
            _decode_categories(h["tokens"], arrays),
        )
    if "hours_of_week" in h:
        hours = arrays[h["hours_of_week"]].astype(np.int64)
    if "distinct" in h:
        distinct = DistinctSketch(arrays[h["distinct"]].astype(np.uint8))
    return ColumnProfile(
        name=h["name"],
        kind=h["kind"],
        count=h["count"],
        null_count=h["null_count"],
        minimum=h["minimum"],
        maximum=h["maximum"],
        moments=Moments(grid, *h["moments"]) if "moments" in h else None,
        bins=bins,
        categories=categories,
        text=text,
        hours_of_week=hours,
        distinct=distinct,
    )


def _decode_categories(h: list[Any], arrays: list[NDArray[Any]]) -> CategoryCounts:
    limit, threshold, values, counts, remainder = h
    numbers = arrays[counts].tolist()
    return CategoryCounts(limit, dict(zip(values, numbers, strict=True)), arrays[remainder].astype(np.int64), threshold)
