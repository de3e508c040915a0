"""The steps of the proof, each a few calls that a user of the account could make, and what they must show."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from perennial import keys
from perennial.cli.cdk import Cdk
from perennial.cli.inference import ask
from perennial.cli.prove.deployed import DeployedLoop
from perennial.cli.prove.leftovers import leftovers
from perennial.cli.prove.project import DAYS, LOOP, STAGE, Project, days
from perennial.cli.prove.script import Bad, Skipped, Step
from perennial.events import Event, ModelPromoted, ModelRolledBack

__all__ = ["Proof"]

DEPLOYED = "the stacks are deployed"
HEARD = "people's messages can be read"
LANDED = "files land and are accepted"
FIRST = "a first model is trained, judged and served"
TOLD = "a message says that a model was promoted"
CANARY = "a challenger takes a tenth of the traffic"
UNTOUCHED = "a deployment in mid-canary changes nothing of it"
ALARMED = "an alarm gives the traffic back to the champion"
TOLD_AGAIN = "a message says that a model was rolled back"
REFUSED = "a challenger that refuses its callers is refused itself"
QUOTA = "an instance type without a quota is a reason on record, and the champion serves"
DESTROYED = "the stacks are destroyed"
NOTHING_LEFT = "nothing is left"

_DEPLOYMENT = keys.deployment_name(LOOP, STAGE)
_QUEUE = f"{_DEPLOYMENT}-messages"
# AWS's lists forget what was deleted within a minute or two.
_LOOKS, _FORGETTING_SECONDS = 12, 10.0
_ALARMS_OF_A_RULE = re.compile(r'ALARM\("?(?:arn:[^")]*:alarm:)?([^")]+)"?\)')
_TOLD_OF_AN_EVENT = (
    "run_id", "rollout_id", "model_version", "batch_id", "signal", "verdict", "traffic_share", "cause", "outcome",
)  # fmt: skip


@dataclass
class Proof:
    """
    What the steps share.

    Attributes
    ----------
    client
        Gives a client of a service, whether anything is deployed or not.
    no_quota
        An instance type of which the account may serve none; None where there is no such type.
    bootstrap
        The environment that the CDK's bootstrap makes ready first; None where that is the user's own choice.
    record
        The ledger's events in short, as they were before everything was destroyed.
    """

    loop: DeployedLoop
    project: Project
    cdk: Cdk
    client: Callable[[str], Any]
    instance_type: str
    no_quota: str | None
    logs: Path
    bootstrap: str | None = None
    record: list[str] = field(default_factory=list)
    _champion: str = ""
    _challenger: str = ""
    _queue_url: str = ""
    _messages: list[str] = field(default_factory=list)

    def steps(self) -> list[Step]:
        """All of them, in order; what cleans up comes last."""
        return [
            Step(DEPLOYED, self.deploys),
            Step(HEARD, self.subscribes, (DEPLOYED,)),
            Step(LANDED, self.lands, (DEPLOYED,)),
            Step(FIRST, self.serves_a_first_model, (LANDED,)),
            Step(TOLD, self.tells_of_the_promotion, (FIRST, HEARD)),
            Step(CANARY, self.begins_a_canary, (FIRST,)),
            Step(UNTOUCHED, self.deploys_in_mid_canary, (CANARY,)),
            Step(ALARMED, self.rolls_back_by_alarm, (CANARY,)),
            Step(TOLD_AGAIN, self.tells_of_the_roll_back, (ALARMED, HEARD)),
            Step(REFUSED, self.refuses_who_refuses, (UNTOUCHED, ALARMED)),
            Step(QUOTA, self.has_no_quota, (FIRST,)),
            Step(DESTROYED, self.destroys, always=True),
            Step(NOTHING_LEFT, self.leaves_nothing, always=True),
        ]

    # --- deployment and data ---------------------------------------------------------------------------------------

    def deploys(self) -> str:
        """The first deployment."""
        if self.bootstrap:
            self.cdk.run("bootstrap", self.bootstrap, output=self.logs / "bootstrap.log")
        self._deploy("deploy-1.log")
        return f"4 stacks of loop {LOOP} in stage {STAGE}"

    def subscribes(self) -> str:
        """A queue hears what people are told."""
        sqs, topic = self.client("sqs"), self.loop.deployment["TopicArn"]
        self._queue_url = sqs.create_queue(QueueName=_QUEUE)["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=self._queue_url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": "sns.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        sqs.set_queue_attributes(QueueUrl=self._queue_url, Attributes={"Policy": policy})
        self.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
        return "a queue is subscribed to the topic"

    def lands(self) -> str:
        """Batches, then their labels."""
        return self.loop.land(list(days(since=0)))

    # --- the first model -------------------------------------------------------------------------------------------

    def serves_a_first_model(self) -> str:
        """What landed is enough to learn from, and nobody asks for it."""
        promoted = self.loop.event("the first model", ModelPromoted, lambda e: e.previous_version is None)
        self._champion = promoted.model_version
        return f"model {self._champion[:12]} answers: {self.loop.must_answer(self._champion)}"

    def tells_of_the_promotion(self) -> str:
        """The topic's messages reach a subscriber."""
        return self._hear("Model Promoted", self._champion)

    # --- a canary, deployed over and rolled back -------------------------------------------------------------------

    def begins_a_canary(self) -> str:
        """A deeper tree passes the gate; nobody asks the endpoint, so its first step goes on."""
        self._challenger = self.loop.retrain("a deeper tree", depth="4")
        return f"weights {self.loop.until('a canary', self.loop.in_first_step, run=self._challenger)}"

    def deploys_in_mid_canary(self) -> str:
        """Another contract, and so another policy and other functions' settings, while the canary is under way."""
        before = self.loop.standing()
        self.project.write_loop(instance_type=self.instance_type, needs_rain=True)
        self._deploy("deploy-2.log")
        after = self.loop.standing()
        if after != before:
            raise Bad(f"weights, configuration, live pointer and executions must stay. Got {after}, before {before}")
        return f"configuration {before['config']} and weights {before['weights']} are as they were"

    def rolls_back_by_alarm(self) -> str:
        """The challenger's alarm on errors is set off by hand; what follows is the product's own doing."""
        weights = self.loop.weights()
        alarm = self._error_alarm(min(weights, key=weights.__getitem__).title())
        self.client("cloudwatch").set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="perennial prove")
        event = self.loop.event("the roll-back", ModelRolledBack, lambda e: e.rollout_id == self._challenger)
        self.loop.concluded(self._challenger)
        if event.cause != "alarm":
            raise Bad(f"the cause must be the alarm. Got {event.cause} instead: {'; '.join(event.reasons)}")
        self.loop.must_serve_alone(self._champion)
        return f"{alarm} gave everything back to {self._champion[:12]}: {'; '.join(event.reasons)}"

    def tells_of_the_roll_back(self) -> str:
        """People hear of it too."""
        return self._hear("Model Rolled Back", self._challenger)

    def _error_alarm(self, slot: str) -> str:
        name = self.loop.deployment[f"RollBack{slot}AlarmName"]
        found = self.client("cloudwatch").describe_alarms(AlarmNames=[name], AlarmTypes=["CompositeAlarm"])
        watched = _ALARMS_OF_A_RULE.findall(found["CompositeAlarms"][0]["AlarmRule"])
        return next(str(alarm) for alarm in watched if f"{slot}Errors" in alarm)

    # --- challengers that must not stay ----------------------------------------------------------------------------

    def refuses_who_refuses(self) -> str:
        """A model of the new contract answers 400 to callers of the old one, who go on asking."""
        self.loop.land(list(days(since=DAYS + 2, with_rain=True)))
        run = self.loop.retrain("the new contract", depth="4")
        self.loop.until("a canary", self.loop.in_first_step, run=run)
        answers: list[bool] = []

        def rolled_back() -> ModelRolledBack | None:
            answers.extend(not ask(self.loop.deployment, [self.loop.row()]).error for _ in range(20))
            return self.loop.said(ModelRolledBack, lambda e: e.rollout_id == run)

        event = self.loop.until("the roll-back", rolled_back, run=run)
        assert event
        self.loop.concluded(run)
        self.loop.must_serve_alone(self._champion)
        told = f"{answers.count(False)} of {len(answers)} requests were refused"
        return f"{told}; rolled back by {event.cause}: {'; '.join(event.reasons)}"

    def has_no_quota(self) -> str:
        """A rollout on instances that the account may not have."""
        if self.no_quota is None:
            raise Skipped("the account has a quota for each of the instance types that were tried")
        self.project.write_loop(instance_type=self.no_quota)
        self._deploy("deploy-3.log")
        ended = self.loop.concluded(self.loop.retrain(f"on {self.no_quota}", depth="5"))
        reasons = "; ".join(ended.reasons)
        if not re.search(r"limit|quota", reasons, re.IGNORECASE):
            raise Bad(f"the reason on record must name the quota. Got {ended.outcome}: {reasons!r} instead")
        self.loop.must_serve_alone(self._champion)
        return f"{ended.outcome}: {reasons}"

    # --- the end ---------------------------------------------------------------------------------------------------

    def destroys(self) -> str:
        """Every stack, and the queue of our own; what is being served or learnt as well."""
        with suppress(Exception):  # where there is no ledger, there is nothing to keep of it
            self.record = [f"{event.at:%H:%M:%S} {event.detail_type}: {_brief(event)}" for event in self.loop.ledger()]
        sqs = self.client("sqs")
        for url in sqs.list_queues(QueueNamePrefix=_QUEUE).get("QueueUrls", ()):
            sqs.delete_queue(QueueUrl=url)
        self.project.write_loop(instance_type=self.instance_type)
        self.cdk.run("destroy", "--all", "--force", output=self.logs / "destroy.log")
        return "cdk destroy --all"

    def leaves_nothing(self) -> str:
        """Nothing bears the deployment's name."""
        for look in range(_LOOKS):
            if look:
                time.sleep(_FORGETTING_SECONDS)
            if not (found := list(leftovers(self.client, LOOP, STAGE))):
                return f"nothing is called {_DEPLOYMENT}"
        raise Bad(f"nothing may be left. Got {', '.join(found)}; delete it by hand, it may cost money")

    # --- pieces ----------------------------------------------------------------------------------------------------

    def _deploy(self, log: str) -> None:
        arguments = ("--all", "--require-approval", "never", "--concurrency", "4")
        self.cdk.run("deploy", *arguments, output=self.logs / log)
        self.loop.changed()

    def _hear(self, kind: str, what: str) -> str:
        sqs = self.client("sqs")

        def heard() -> bool:
            received = sqs.receive_message(QueueUrl=self._queue_url, WaitTimeSeconds=2, MaxNumberOfMessages=10)
            for message in received.get("Messages", ()):
                self._messages.append(message["Body"])
                sqs.delete_message(QueueUrl=self._queue_url, ReceiptHandle=message["ReceiptHandle"])
            return any(kind in body and what in body for body in self._messages)

        self.loop.until(f'a message "{kind}"', heard)
        return f'"{kind}" of {what[:12]}'


def _brief(event: Event) -> str:
    """What an entry says, without its numbers."""
    said = event.model_dump(mode="json")
    facts = [f"{name} {str(said[name])[:12]}" for name in _TOLD_OF_AN_EVENT if said.get(name) is not None]
    return "; ".join([*facts, *map(str, said.get("reasons") or ())])
