"""Whether a deployed loop is still at work: who waits for an outcome waits as long as it may come, and no longer."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from localcloud.pace import LOOK_SECONDS, Pace
from perennial.cli.deployment import Deployment

__all__ = ["MACHINES", "Activity", "Hope", "gather_activity"]

MACHINES = ("LearningMachineArn", "RolloutMachineArn", "LargeBatchMachineArn")
# By a clock that goes slower on a busy machine. Between two steps of a loop pass seconds, on AWS a minute.
QUIET_SECONDS = 120.0
# A job of hours tells nothing while it works; what limits it is the state machine's own time-out.
STUCK_SECONDS = 7200.0


@dataclass(frozen=True, slots=True)
class Activity:
    """
    What a loop is doing.

    Attributes
    ----------
    running
        Executions under way, by name, each with the number of its newest event.
    queued_count
        Messages that wait in its inboxes, or are being worked on.
    endpoint
        Status and weights; nothing where there is none.
    """

    running: tuple[tuple[str, int], ...]
    queued_count: int
    endpoint: tuple[Any, ...]

    @property
    def busy(self) -> bool:
        """Whether something is under way that may lead to an outcome."""
        changing = bool(self.endpoint) and self.endpoint[0] not in ("InService", "Failed", "OutOfService")
        return bool(self.running) or self.queued_count > 0 or changing

    def describe(self) -> str:
        """In a sentence."""
        if not self.busy:
            return "nothing is running and no file waits"
        names = ", ".join(name for name, _ in self.running) or "no execution"
        return f"running: {names}; {self.queued_count} files wait; endpoint: {self.endpoint[:1] or 'none'}"


def gather_activity(deployment: Deployment) -> Activity:
    """What the loop is doing now."""
    running = [
        (execution["name"], _newest_event(deployment, execution["executionArn"]))
        for machine in MACHINES
        for execution in deployment.states.list_executions(stateMachineArn=deployment[machine], statusFilter="RUNNING")[
            "executions"
        ]
    ]
    return Activity(tuple(running), _queued_count(deployment), _endpoint(deployment))


def _newest_event(deployment: Deployment, arn: str) -> int:
    newest = deployment.states.get_execution_history(executionArn=arn, reverseOrder=True, maxResults=1)["events"]
    return int(newest[0]["id"]) if newest else 0


def _queued_count(deployment: Deployment) -> int:
    sqs, names = deployment.client("sqs"), ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    count = 0
    for output, url in deployment.outputs.items():
        if output.endswith("QueueUrl") and "DeadLetter" not in output and output != "UndeliveredQueueUrl":
            found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
            count += sum(int(found[name]) for name in names)
    return count


def _endpoint(deployment: Deployment) -> tuple[Any, ...]:
    try:
        found = deployment.sagemaker.describe_endpoint(EndpointName=deployment["EndpointName"])
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationException":
            return ()
        raise
    weights = tuple((one["VariantName"], one.get("CurrentWeight")) for one in found.get("ProductionVariants", ()))
    return found["EndpointStatus"], weights


class Hope:
    """
    Whether it is still worth waiting for something of a loop.

    Parameters
    ----------
    quiet_seconds
        For how long nothing may be under way.
    stuck_seconds
        For how long what is under way may show no progress.
    pace
        The clock of both.
    """

    def __init__(
        self,
        deployment: Deployment,
        *,
        quiet_seconds: float = QUIET_SECONDS,
        stuck_seconds: float = STUCK_SECONDS,
        pace: Pace | None = None,
    ) -> None:
        self._deployment, self._quiet_seconds, self._stuck_seconds = deployment, quiet_seconds, stuck_seconds
        self._pace = pace or Pace()
        self._looked_at = 0.0
        self.renew()

    def renew(self) -> None:
        """Begin anew: something else is waited for."""
        self._busy_at = self._moved_at = self._pace.now()
        self._seen: Activity | None = None

    def lost(self) -> str | None:
        """Why the outcome can't come any more, as a clause; None while it may. Looks twice a second at most."""
        if time.monotonic() - self._looked_at < LOOK_SECONDS:
            return None
        self._looked_at = time.monotonic()
        self._pace.look()
        return self.judge(gather_activity(self._deployment), self._pace.now())

    def judge(self, activity: Activity, now: float) -> str | None:
        """The same for an activity that was seen at `now`."""
        if activity != self._seen:
            self._seen, self._moved_at = activity, now
        if activity.busy:
            self._busy_at = now
        if now - self._busy_at > self._quiet_seconds:
            return f"{activity.describe()}, for {now - self._busy_at:.0f} s"
        if now - self._moved_at > self._stuck_seconds:
            return f"nothing has moved for {now - self._moved_at:.0f} s ({activity.describe()})"
        return None
