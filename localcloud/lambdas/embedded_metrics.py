"""
Metrics embedded in log lines, as CloudWatch takes them out.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
(read 2026-11): a line that is a JSON object with `_aws.CloudWatchMetrics`; each dimension set of each directive makes
metrics of its own; a value may be an array of up to 100 numbers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

_MOST_VALUES = 100
_MOST_DIMENSIONS = 30


@dataclass(frozen=True, slots=True)
class Datum:
    """One value of one metric."""

    namespace: str
    name: str
    value: float
    unit: str
    dimensions: Mapping[str, str]
    at: datetime


def read(line: str) -> Iterator[Datum]:
    """
    The metrics in one log line; none when it is not in the format, or not valid.

    >>> line = (
    ...     '{"_aws": {"Timestamp": 0, "CloudWatchMetrics": [{"Namespace": "N", "Dimensions": [["d"], []], '
    ...     '"Metrics": [{"Name": "m", "Unit": "Count"}]}]}, "d": "x", "m": [1, 2]}'
    ... )
    >>> [(datum.value, dict(datum.dimensions)) for datum in read(line)]
    [(1.0, {'d': 'x'}), (2.0, {'d': 'x'}), (1.0, {}), (2.0, {})]
    """
    if '"_aws"' not in line or '"CloudWatchMetrics"' not in line:
        return
    try:
        document = json.loads(line[line.index("{") :])
        metadata = document["_aws"]
        at = datetime.fromtimestamp(metadata["Timestamp"] / 1000, UTC)
        directives = metadata["CloudWatchMetrics"]
        for directive in directives:
            yield from _of_directive(directive, document, at)
    except (ValueError, KeyError, TypeError, OverflowError):
        return


def _of_directive(directive: Mapping[str, Any], document: Mapping[str, Any], at: datetime) -> Iterator[Datum]:
    for names in directive["Dimensions"]:
        if len(names) > _MOST_DIMENSIONS or any(name not in document for name in names):
            continue
        dimensions = {name: str(document[name]) for name in names}
        for metric in directive["Metrics"]:
            found = document.get(metric["Name"])
            values = found if isinstance(found, list) else [found]
            for value in values[:_MOST_VALUES]:
                if isinstance(value, int | float) and not isinstance(value, bool):
                    unit = metric.get("Unit", "None")
                    yield Datum(directive["Namespace"], metric["Name"], float(value), unit, dimensions, at)
