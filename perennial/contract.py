"""
The data contract of a loop: what a landed file must hold, column by column.

Only pydantic and the standard library are used here, so that functions without arrays can read a contract.

>>> contract = Contract(format="csv", record_id="id", event_time="ts", label="y",
...                     columns={"x": {"type": "number", "min": 0}, "y": {"type": "boolean"}})
>>> sorted(contract.columns)
['id', 'ts', 'x', 'y']
>>> contract.columns["x"].accepts_null
False
>>> Quality(max_age="90m").max_age_seconds
5400.0
"""

from __future__ import annotations

import math
import re
import unicodedata
from datetime import date
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from perennial.expression import columns_of

__all__ = [
    "Column",
    "ColumnType",
    "Contract",
    "DriftSettings",
    "DurationSeconds",
    "FileFormat",
    "Grid",
    "Quality",
    "RowCheck",
    "SchemaChangePolicy",
    "parse_duration",
]

ColumnType = Literal["number", "integer", "category", "boolean", "timestamp", "text"]
FileFormat = Literal["csv", "jsonl", "parquet"]
SchemaChangePolicy = Literal["reject", "accept", "evolve"]
Share = Annotated[float, Field(ge=0, le=1)]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?[smhdw])+", re.ASCII)


def parse_duration(value: object) -> float:
    """
    Seconds of a duration as people write it: a number of seconds, or numbers with units s, m, h, d, w.

    >>> parse_duration("7d"), parse_duration("1h30m"), parse_duration(5)
    (604800.0, 5400.0, 5.0)
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = float(value)
    elif isinstance(value, str) and _DURATION.fullmatch(value.strip()):
        seconds = sum(float(n) * _UNITS[u] for n, u in re.findall(r"([\d.]+)([smhdw])", value))
    else:
        raise ValueError(f'a duration must be like "7d", "90m" or "1h30m" (units s, m, h, d, w). Got {value!r} instead')
    if not math.isfinite(seconds) or seconds < 0:
        raise ValueError(f"a duration must be finite and not negative. Got {value!r} instead")
    return seconds


DurationSeconds = Annotated[float, BeforeValidator(parse_duration)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False)


class DriftSettings(_Frozen):
    """
    How a column takes part in drift checks.

    `weight` is its share of the false-alarm budget beside the other columns' (0 leaves it out), `floor` the smallest
    effect that counts: KS for numbers, the share of rows that changed category otherwise, 0 to 1.
    """

    weight: NonNegativeFloat = 1.0
    floor: Share | None = None


class Grid(_Frozen):
    """Where a column's histogram is finest (`center`) and its unit (`scale`): profiles merge only on equal grids."""

    center: float = 0.0
    scale: PositiveFloat = 1.0


class Column(_Frozen):
    """
    What one column must hold.

    `nullable` allows empty cells; `max_null_rate` below 1 allows them up to that share of a file's rows.
    `min` and `max` are inclusive; for timestamps they are ISO 8601 strings. `center` and `scale` fix the grid of a
    numeric column's histogram (see `Grid`); without them it follows from `min` and `max`, or is 0 and 1.
    """

    type: ColumnType
    nullable: bool = False
    min: float | int | str | None = None
    max: float | int | str | None = None
    allowed: tuple[str | bool | int | float, ...] | None = None
    pattern: str | None = None
    unique: bool = False
    max_null_rate: Share | None = None
    drift: DriftSettings | Literal[False] = DriftSettings()
    center: float | None = None
    scale: PositiveFloat | None = None

    @property
    def accepts_null(self) -> bool:
        """Whether an empty cell is no violation of its row."""
        return self.nullable or bool(self.max_null_rate)

    @property
    def is_numeric(self) -> bool:
        """Whether its values lie on a number line and get a histogram."""
        return self.type in ("number", "integer")

    @property
    def grid(self) -> Grid:
        """The grid of this column's histogram."""
        center, scale = self.center, self.scale
        bounds = [b for b in (self.min, self.max) if isinstance(b, (int, float))]
        if self.is_numeric and len(bounds) == 2 and bounds[1] > bounds[0]:
            center = (bounds[0] + bounds[1]) / 2 if center is None else center
            scale = (bounds[1] - bounds[0]) / 8 if scale is None else scale
        return Grid(center=0.0 if center is None else center, scale=1.0 if scale is None else scale)

    @field_validator("min", "max", mode="before")
    @classmethod
    def _toml_times_are_iso(cls, bound: Any) -> Any:
        """TOML has dates and times of its own."""
        return bound.isoformat() if isinstance(bound, date) else bound

    @field_validator("pattern")
    @classmethod
    def _pattern_compiles(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"a pattern must be a regular expression. Got {pattern!r} ({error})") from error
            if re.search(r"\(\?[=!<]|\\[1-9]", pattern):
                raise ValueError(f"a pattern must do without look-around and back-references (RE2). Got {pattern!r}")
        return pattern

    @model_validator(mode="after")
    def _settings_fit_the_type(self) -> Self:
        numeric, ordered = self.is_numeric, self.is_numeric or self.type == "timestamp"
        if not ordered and (self.min is not None or self.max is not None):
            raise ValueError(f"min and max are for numbers and timestamps; {self.type} has no order")
        for name, bound in (("min", self.min), ("max", self.max)):
            if bound is not None and isinstance(bound, str) == numeric:
                wanted = "a number" if numeric else "an ISO 8601 string"
                raise ValueError(f"{name} of a {self.type} must be {wanted}. Got {bound!r} instead")
        if numeric and self.min is not None and self.max is not None and self.min > self.max:  # type: ignore[operator]
            raise ValueError(f"min must not be above max. Got {self.min} and {self.max} instead")
        if self.pattern is not None and self.type not in ("category", "text"):
            raise ValueError(f"a pattern is for category and text. Got type {self.type} instead")
        if self.allowed is not None and self.type == "timestamp":
            raise ValueError("allowed is not for timestamps: use min and max")
        if not numeric and (self.center is not None or self.scale is not None):
            raise ValueError(f"center and scale are for number and integer. Got type {self.type} instead")
        return self


class RowCheck(_Frozen):
    """A named expression over the columns of one row that must be true; a null result counts as true."""

    name: str
    expression: str

    @field_validator("expression")
    @classmethod
    def _expression_is_safe(cls, expression: str) -> str:
        columns_of(expression)
        return expression


class Quality(_Frozen):
    """What a file as a whole must keep; `None` means no such limit."""

    max_invalid_rate: Share = 0.05
    max_age_seconds: Annotated[
        DurationSeconds | None, Field(validation_alias=AliasChoices("max_age_seconds", "max_age"))
    ] = None
    expected_every_seconds: Annotated[
        DurationSeconds | None, Field(validation_alias=AliasChoices("expected_every_seconds", "expected_every"))
    ] = None
    unique_within_seconds: Annotated[
        DurationSeconds | None, Field(validation_alias=AliasChoices("unique_within_seconds", "unique_within"))
    ] = None
    min_rows: NonNegativeInt = 1
    max_rows: PositiveInt | None = None
    on_schema_change: SchemaChangePolicy = "reject"
    checks: tuple[RowCheck, ...] = ()

    @field_validator("checks", mode="before")
    @classmethod
    def _checks_may_be_a_table(cls, checks: Any) -> Any:
        """`[data.quality.checks]` as a table of name = "expression" or as an array of tables."""
        if isinstance(checks, dict):
            return [{"name": name, "expression": expression} for name, expression in checks.items()]
        return checks


class Contract(_Frozen):
    """
    The whole contract. Names are compared in Unicode NFC.

    `record_id` and `event_time` need no entry in `columns`: they default to unique text and to a timestamp. The
    label's column may be absent from a batch: labels usually come later, in files of their own.
    """

    format: FileFormat
    record_id: str
    event_time: str
    label: str | None = None
    entity: str | None = None
    segments: tuple[str, ...] = ()
    sensitive: tuple[str, ...] = ()
    value: str | None = None
    columns: dict[str, Column]
    quality: Quality = Quality()
    pairs: tuple[tuple[str, str], ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, data: Any) -> Any:
        """NFC names everywhere, and columns for the record id and the event time."""
        if not isinstance(data, dict) or not isinstance(data.get("columns"), dict):
            return data
        data = dict(data)
        columns = {unicodedata.normalize("NFC", str(k)): v for k, v in data["columns"].items()}
        for role, default in (
            ("record_id", Column(type="text", unique=True, drift=False)),
            ("event_time", Column(type="timestamp", drift=False)),
        ):
            if isinstance(data.get(role), str):
                columns.setdefault(unicodedata.normalize("NFC", data[role]), default)
        data["columns"] = columns
        for role in ("record_id", "event_time", "label", "entity", "value"):
            if isinstance(data.get(role), str):
                data[role] = unicodedata.normalize("NFC", data[role])
        return data

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        roles: dict[str, tuple[str, ...]]
        roles = {r: (getattr(self, r),) for r in ("label", "entity", "value") if getattr(self, r) is not None}
        roles |= {"segments": self.segments, "sensitive": self.sensitive, "pairs": sum(self.pairs, ())}
        roles |= {f"check {c.name}": columns_of(c.expression) for c in self.quality.checks}
        for role, names in roles.items():
            for name in names:
                if name not in self.columns:
                    known = ", ".join(sorted(self.columns))
                    raise ValueError(f"{role} must name columns of the contract ({known}). Got {name!r} instead")
        if self.columns[self.event_time].type != "timestamp":
            raise ValueError(f"event_time must be a timestamp. Got {self.columns[self.event_time].type} instead")
        self._ids_can_be_told_apart()
        if self.columns[self.record_id].type not in ("text", "category", "integer"):
            raise ValueError(f"record_id must be text or integer. Got {self.columns[self.record_id].type} instead")
        return self

    def _ids_can_be_told_apart(self) -> None:
        """Uniqueness across batches needs ids that are unique in a file, and a time for every row."""
        if self.quality.unique_within_seconds is None:
            return
        if not self.columns[self.record_id].unique:
            raise ValueError(f"unique_within needs {self.record_id} to be unique in a file: set unique = true")
        if self.columns[self.event_time].accepts_null or self.columns[self.record_id].accepts_null:
            raise ValueError(f"unique_within needs {self.record_id} and {self.event_time} in every row, never empty")

    @property
    def features(self) -> tuple[str, ...]:
        """The columns a model may learn from: all but the record id, the event time and the label."""
        return tuple(c for c in self.columns if c not in (self.record_id, self.event_time, self.label))
