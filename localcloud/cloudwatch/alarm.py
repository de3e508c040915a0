"""One alarm: what it was told to watch, the state it is in, and how both look on the API and in messages."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

from localcloud.cloudwatch.aggregate import is_statistic
from localcloud.cloudwatch.evaluation import COMPARISONS, TREATMENTS, Policy, State
from localcloud.cloudwatch.protocol import CloudWatchError
from localcloud.cloudwatch.queries import check_queries, finest_period

_HIGH_RESOLUTION = (10, 20, 30)
_MAX_TAGS = 50


@dataclass(slots=True)
class Alarm:
    """
    A metric alarm or a composite alarm.

    Attributes
    ----------
    config
        The parameters of PutMetricAlarm or PutCompositeAlarm, as JSON.
    evaluated_until
        End of the last period that was evaluated, epoch seconds.
    """

    name: str
    arn: str
    kind: str
    config: dict[str, Any]
    state: State = "INSUFFICIENT_DATA"
    reason: str = "Unchecked: Initial alarm creation"
    reason_data: str | None = None
    updated: float = 0.0
    transitioned: float = 0.0
    configured: float = 0.0
    tags: dict[str, str] = field(default_factory=dict)
    evaluated_until: float = 0.0

    @property
    def policy(self) -> Policy:
        """What a metric alarm demands."""
        config = self.config
        return Policy(
            comparison=config["ComparisonOperator"],
            threshold=config["Threshold"],
            periods=config["EvaluationPeriods"],
            to_alarm=config.get("DatapointsToAlarm") or config["EvaluationPeriods"],
            missing=config.get("TreatMissingData") or "missing",
        )

    @property
    def queries(self) -> list[dict[str, Any]]:
        """What a metric alarm reads, always in the form of GetMetricData."""
        config = self.config
        if config.get("Metrics"):
            return cast("list[dict[str, Any]]", config["Metrics"])
        metric = {key: config[key] for key in ("Namespace", "MetricName", "Dimensions") if key in config}
        stat = {"Metric": metric, "Period": config["Period"], "Stat": self.statistic}
        unit = {"Unit": config["Unit"]} if config.get("Unit") else {}
        return [{"Id": "m1", "MetricStat": stat | unit, "ReturnData": True}]

    @property
    def statistic(self) -> str:
        """The statistic of an alarm on one metric."""
        return str(self.config.get("Statistic") or self.config.get("ExtendedStatistic") or "")

    @property
    def watched(self) -> str:
        """Id of the query that is compared with the threshold."""
        return next(str(query["Id"]) for query in self.queries if query.get("ReturnData", True))

    def describe(self) -> dict[str, Any]:
        """The alarm as DescribeAlarms shows it."""
        return {
            "ActionsEnabled": True,
            "OKActions": [],
            "AlarmActions": [],
            "InsufficientDataActions": [],
            **({"Dimensions": []} if self.kind == "MetricAlarm" else {}),
            **{key: value for key, value in self.config.items() if key != "Tags"},
            "AlarmArn": self.arn,
            "AlarmConfigurationUpdatedTimestamp": self.configured,
            "StateValue": self.state,
            "StateReason": self.reason,
            "StateReasonData": self.reason_data,
            "StateUpdatedTimestamp": self.updated,
            "StateTransitionedTimestamp": self.transitioned,
        }

    def snapshot(self) -> dict[str, Any]:
        """State, reason and time, as events carry them."""
        shown: dict[str, Any] = {"value": self.state, "reason": self.reason, "timestamp": stamp(self.updated)}
        if self.reason_data:
            shown["reasonData"] = self.reason_data
        return shown

    def configuration(self) -> dict[str, Any]:
        """The `configuration` that events carry."""
        description = self.config.get("AlarmDescription")
        shown: dict[str, Any] = {"description": description} if description else {}
        if self.kind == "CompositeAlarm":
            return shown | {"alarmRule": self.config["AlarmRule"]}
        return shown | {"metrics": [_event_query(query) for query in self.queries]}

    def dump(self) -> dict[str, Any]:
        """For JSON; `Alarm(**dump)` is the reverse."""
        return asdict(self)


def _event_query(query: Mapping[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {"id": query["Id"], "returnData": query.get("ReturnData", True)}
    if query.get("Label"):
        shown["label"] = query["Label"]
    if "Expression" in query:
        return shown | {"expression": query["Expression"]}
    stat = query["MetricStat"]
    metric = stat["Metric"]
    pairs = {pair["Name"]: pair["Value"] for pair in metric.get("Dimensions", ())}
    shown["metricStat"] = {
        "metric": {"namespace": metric["Namespace"], "name": metric["MetricName"], "dimensions": pairs},
        "period": stat["Period"],
        "stat": stat["Stat"],
        **({"unit": stat["Unit"]} if stat.get("Unit") else {}),
    }
    return shown


def stamp(moment: float) -> str:
    """
    A time as alarm messages write it.

    >>> stamp(0)
    '1970-01-01T00:00:00.000+0000'
    """
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "+0000"


def check_metric_alarm(params: Mapping[str, Any]) -> None:
    """Raise CloudWatchError unless these parameters of PutMetricAlarm can be evaluated."""
    if params.get("ComparisonOperator") not in COMPARISONS or "ThresholdMetricId" in params:
        raise _wrong(f"ComparisonOperator must be one of {', '.join(COMPARISONS)}: no anomaly detection here")
    if "Threshold" not in params:
        raise _wrong("The parameter Threshold is required")
    if params.get("TreatMissingData", "missing") not in TREATMENTS:
        raise _wrong(f"TreatMissingData must be one of {', '.join(TREATMENTS)}. Got {params['TreatMissingData']}")
    if params.get("DatapointsToAlarm", 1) > params["EvaluationPeriods"]:
        raise _wrong("DatapointsToAlarm must be less than or equal to EvaluationPeriods")
    if "Metrics" in params:
        _check_math(params)
    else:
        _check_single(params)
    period = finest_period(params["Metrics"]) if "Metrics" in params else params["Period"]
    longest = 7 * 86_400 if period >= 3600 else 86_400
    if params["EvaluationPeriods"] * period > longest:
        raise _wrong(
            f"Metrics cannot be checked across more than {longest // 86_400} day(s): EvaluationPeriods * Period must "
            f"be <= {longest}. Got {params['EvaluationPeriods'] * period}"
        )
    check_tags(params.get("Tags", ()))


def _check_single(params: Mapping[str, Any]) -> None:
    for name in ("MetricName", "Namespace", "Period"):
        if name not in params:
            raise _wrong(f"The parameter {name} is required for an alarm on one metric")
    if ("Statistic" in params) == ("ExtendedStatistic" in params):
        raise CloudWatchError(
            "InvalidParameterCombination", "Exactly one of Statistic and ExtendedStatistic must be given"
        )
    _check_statistic(params.get("Statistic") or params["ExtendedStatistic"])
    _check_period(params["Period"])


def _check_math(params: Mapping[str, Any]) -> None:
    both = sorted({"MetricName", "Namespace", "Statistic", "ExtendedStatistic", "Dimensions", "Period"} & params.keys())
    if both:
        raise CloudWatchError("InvalidParameterCombination", f"Metrics must not be given with {', '.join(both)}")
    check_queries(params["Metrics"])
    for query in params["Metrics"]:
        if "MetricStat" in query:
            _check_period(query["MetricStat"]["Period"])
    returned = [query["Id"] for query in params["Metrics"] if query.get("ReturnData", True)]
    if len(returned) != 1:
        raise _wrong(f"Exactly one element of Metrics must have ReturnData true. Got {', '.join(returned) or 'none'}")


def _check_statistic(name: str) -> None:
    if not is_statistic(name):
        raise _wrong(f"Statistic {name} is not known")


def _check_period(period: int) -> None:
    if period not in _HIGH_RESOLUTION and (period < 60 or period % 60):
        raise _wrong(f"Period must be 10, 20, 30 or a multiple of 60. Got {period}")


def check_tags(tags: Sequence[Mapping[str, str]]) -> None:
    """Raise CloudWatchError when an alarm can't have these tags."""
    if len({tag["Key"] for tag in tags}) > _MAX_TAGS:
        raise _wrong(f"The resultant tag set must not have more than {_MAX_TAGS} user tags.")


def _wrong(message: str) -> CloudWatchError:
    return CloudWatchError("ValidationError", message)


def jsonable(params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as plain JSON: what is kept is what a restart will read."""
    copied: dict[str, Any] = json.loads(json.dumps(params, default=str))
    return copied
