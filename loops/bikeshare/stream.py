"""
Two years of a city's bike-share as the stream it once was: 104 weekly batch files and their label files.

`data/hours.csv.gz` holds what the source published. This module cuts it, byte for byte the same each time, into
what a producer would land: a batch with the features of a week's hours, and one day after the week ended a label
file saying which of those hours turned out busy. The count of rides is the label's source, so it is in no batch.

    python -m loops.bikeshare.stream --out FOLDER [--weeks 0:12]

>>> first = week(0)
>>> first.batch_name, first.rows, first.labels_landed_at.isoformat()
('2011-01-01.csv', 161, '2011-01-08T23:00:00+00:00')
>>> first.batch_csv().decode().splitlines()[1]
'2011-01-01T00,2011-01-01T00:00:00Z,1,0,0,6,0,1,0.24,0.2879,0.81,0'
>>> first.labels_csv().decode().splitlines()[1]
'2011-01-01T00,0,2011-01-02T00:00:00Z'
"""

from __future__ import annotations

import argparse
import csv
import gzip
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

__all__ = ["BUSY_RIDES", "FEATURES", "LABEL_LATENCY", "WEEKS", "Hour", "Week", "week", "weeks"]

BUSY_RIDES = 200  # rides in an hour that make it a busy one
LABEL_LATENCY = timedelta(days=1)
WEEKS = 104
FEATURES = (
    "season",
    "hr",
    "holiday",
    "weekday",
    "workingday",
    "weathersit",
    "temp",
    "atemp",
    "hum",
    "windspeed",
)

_SOURCE = Path(__file__).with_name("data") / "hours.csv.gz"
_SECONDS = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, slots=True)
class Hour:
    """One hour of the source: its features as published, and whether it was busy."""

    at: datetime
    features: tuple[str, ...]
    busy: bool

    @property
    def record_id(self) -> str:
        """The hour's own name, such as `2011-01-01T05`: what a label is joined by."""
        return f"{self.at:%Y-%m-%dT%H}"


@dataclass(frozen=True, slots=True)
class Week:
    """One landed file's worth of hours, in time order."""

    number: int
    hours: tuple[Hour, ...]

    @property
    def rows(self) -> int:
        """Hours in the batch: 132 to 238 (the source lacks hours without a ride; the last week has ten days)."""
        return len(self.hours)

    @property
    def first_event_at(self) -> datetime:
        """The first hour."""
        return self.hours[0].at

    @property
    def last_event_at(self) -> datetime:
        """The last hour."""
        return self.hours[-1].at

    @property
    def batch_name(self) -> str:
        """File name of the batch: its first day."""
        return f"{self.first_event_at:%Y-%m-%d}.csv"

    @property
    def labels_name(self) -> str:
        """File name of the label file: the first day of the batch it is for."""
        return f"{self.first_event_at:%Y-%m-%d}.labels.csv"

    @property
    def labels_landed_at(self) -> datetime:
        """When the last label of the week is known, so when the label file lands."""
        return self.last_event_at + LABEL_LATENCY

    def batch_csv(self, *, weathersit: str | None = None) -> bytes:
        """
        The week's features as a landed CSV file.

        Parameters
        ----------
        weathersit
            A weather code to put into every row instead of the observed one: the supplier changed its codes.
        """
        position = FEATURES.index("weathersit")
        lines = [",".join(("record_id", "ts", *FEATURES))]
        for hour in self.hours:
            cells = list(hour.features)
            if weathersit is not None:
                cells[position] = weathersit
            lines.append(",".join((hour.record_id, hour.at.strftime(_SECONDS), *cells)))
        return ("\n".join(lines) + "\n").encode()

    def labels_csv(self, *, flipped: bool = False, delay: timedelta = timedelta(0)) -> bytes:
        """
        The week's labels as a landed CSV file.

        Parameters
        ----------
        flipped
            Say busy for quiet and quiet for busy: a broken or hostile source of labels.
        delay
            Added to each `labeled_at`: a later label for the same hour replaces an earlier one.
        """
        lines = ["record_id,y,labeled_at"]
        for hour in self.hours:
            labeled_at = (hour.at + LABEL_LATENCY + delay).strftime(_SECONDS)
            lines.append(f"{hour.record_id},{int(hour.busy != flipped)},{labeled_at}")
        return ("\n".join(lines) + "\n").encode()


def week(number: int) -> Week:
    """
    The week of that number, 0 to 103.

    Raises
    ------
    IndexError
        There is no such week.
    """
    if not 0 <= number < WEEKS:
        raise IndexError(f"week must be in 0..{WEEKS - 1}. Got {number} instead.")
    return _all_weeks()[number]


def weeks(first: int = 0, last: int = WEEKS) -> Iterator[Week]:
    """The weeks `first` up to, not including, `last`, in time order."""
    return iter(_all_weeks()[first:last])


@cache
def _all_weeks() -> tuple[Week, ...]:
    by_number: dict[int, list[Hour]] = {}
    start: datetime | None = None
    with gzip.open(_SOURCE, "rt", encoding="ascii", newline="") as lines:
        for row in csv.DictReader(lines):
            at = datetime.strptime(row["ts"], _SECONDS).replace(tzinfo=UTC)
            start = start or at
            # Two years are 104 weeks and three days: the last batch takes them, so that none is tiny.
            number = min((at - start).days // 7, WEEKS - 1)
            hour = Hour(at, tuple(row[name] for name in FEATURES), int(row["cnt"]) >= BUSY_RIDES)
            by_number.setdefault(number, []).append(hour)
    return tuple(Week(number, tuple(hours)) for number, hours in sorted(by_number.items()))


def main(arguments: list[str] | None = None) -> int:
    """Write weeks as files below a folder: `batches/` and `labels/`, named by their first day."""
    parser = argparse.ArgumentParser(prog="python -m loops.bikeshare.stream", description=main.__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    parser.add_argument("--weeks", default=f"0:{WEEKS}", help="FIRST:LAST, the last not included (default: all)")
    options = parser.parse_args(arguments)
    first, _, last = options.weeks.partition(":")
    written = 0
    for each in weeks(int(first or 0), int(last or WEEKS)):
        for folder, name, content in (
            ("batches", each.batch_name, each.batch_csv()),
            ("labels", each.labels_name, each.labels_csv()),
        ):
            target = options.out / folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            written += 1
    sys.stdout.write(f"wrote {written} files below {options.out}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
