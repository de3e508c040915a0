"""
After each bake: both variants' figures since the step began, and whether to advance, hold, roll back or finish.

Trigger: rollout machine. Announces: Rollout Advanced, Rollout Held. Metrics: TrafficShare (loop and variant).

AWS actions
-----------
- cloudwatch:GetMetricData, cloudwatch:DescribeAlarms (neither takes resources)
- endpoint: sagemaker:DescribeEndpoint
- lake bucket: s3:GetObject on `reports/evaluations/*` and the loop's file asset; s3:ListBucket
- catalog table: dynamodb:GetItem on `live`; dynamodb:Query on `predictions`, `scores`; dynamodb:GetItem, UpdateItem
  on `rollouts`
- bus: events:PutEvents
- keys of those: kms:Decrypt
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from pydantic import Field

from functions import _shell
from functions._shell import Shell
from perennial import keys
from perennial.aws.endpoint import EndpointState
from perennial.aws.live import LivePointer
from perennial.aws.metrics import VariantFigures, alarm_states, variant_figures
from perennial.errors import EndpointBusy
from perennial.events import RolloutAdvanced, RolloutHeld, parse
from perennial.metrics import gain
from perennial.rollout import (
    AlarmState,
    Evidence,
    RolloutPlan,
    StepDecision,
    VariantEvidence,
    analyse,
    begin,
    weights_for,
)

__all__ = ["Settings", "handler", "run", "shift"]


class Settings(_shell.Settings):
    """The environment of analyse_canary."""

    endpoint_name: str
    # Guardrail alarms of each slot, by name.
    alarm_names: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)


def run(event: dict[str, Any], shell: Shell[Settings]) -> dict[str, Any]:
    """Decide what follows the smoke test (phase "start") or a bake; the same answer when asked the same again."""
    plan = RolloutPlan.model_validate(event["plan"])
    item = keys.rollout_item(shell.settings.loop_name, plan.rollout_id)
    before = None if event.get("phase") == "start" else event["step"]
    asked = "start" if before is None else f"{before['step']}#{before['holds']}"
    record = (shell.catalog.get(item) or {}).get("analysis") or {}
    if record.get("asked") != asked or _status(plan, shell) != "in progress":
        decision, evidence = _at_the_start(plan, shell) if before is None else _after_bake(before, plan, shell)
        record = {"asked": asked, "answer": _answer(decision, before, shell.now())}
        record["announcement"] = _announcement(decision, evidence, plan, shell)
        shell.catalog.update(item, {"analysis": record, "step": decision.step})
    said = record["announcement"]
    if said is not None:
        shell.bus.announce(parse(said["type"], said["detail"]))
    for weight in record["answer"]["weights"]:
        shell.metrics.add("TrafficShare", weight["DesiredWeight"] * 100, "Percent", variant=weight["VariantName"])
    decided = record["answer"]["decision"]
    shell.logger.info({"event": "canary analysed", "run_id": plan.rollout_id, "decision": decided, "asked": asked})
    answer: dict[str, Any] = record["answer"]
    return answer


def _at_the_start(
    plan: RolloutPlan, shell: Shell[Settings]
) -> tuple[StepDecision, dict[str, float | int | str | None]]:
    """The first step, unless an alarm or a person was faster."""
    status = _status(plan, shell)
    if status == "in progress":
        return begin(plan), {}
    silent = Evidence(step=0, holds=0, challenger=VariantEvidence(), champion=VariantEvidence(), status=status)
    return analyse(silent, plan, shell.loop.rollout), {}


def _after_bake(
    before: Mapping[str, Any], plan: RolloutPlan, shell: Shell[Settings]
) -> tuple[StepDecision, dict[str, float | int | str | None]]:
    """Both variants since the step began, the slot's alarms, the endpoint's truth: then the rule."""
    settings, champion_slot = shell.settings, plan.champion_slot or ""
    as_planned = _as_planned(before, plan, shell.endpoint(settings.endpoint_name).state())
    slots = [plan.challenger_slot, *([champion_slot] if champion_slot else [])]
    figures = _figures(shell, slots, since=datetime.fromisoformat(before["started_at"]))
    quality = _quality(plan, shell)
    challenger = _variant(figures[plan.challenger_slot], quality.challenger)
    champion = _variant(figures[champion_slot], quality.champion) if champion_slot else VariantEvidence()
    overall = _champion_overall(plan, shell)
    evidence = Evidence(
        step=int(before["step"]),
        holds=int(before["holds"]),
        challenger=challenger,
        champion=champion,
        champion_overall=overall,
        alarms=_alarms(plan, shell),
        status=_status(plan, shell),
        endpoint_as_planned=as_planned,
        prediction_shift=_prediction_shift(before, plan, shell),
        quality_gain=quality.gain,
    )
    decision = analyse(evidence, plan, shell.loop.rollout)
    seen: dict[str, float | int | str | None] = {
        "requests": challenger.invocations,
        "errors": challenger.errors_5xx,
        "unanswered": challenger.unanswered,
        "p99_ms": challenger.latency_ms_p99,
        "champion_requests": champion.invocations,
        "champion_errors": champion.errors_5xx,
        "champion_unanswered": champion.unanswered,
        "champion_p99_ms": champion.latency_ms_p99,
    }
    return decision, seen


def _figures(shell: Shell[Settings], slots: Sequence[str], *, since: datetime) -> dict[str, VariantFigures]:
    return variant_figures(
        shell.clients.cloudwatch, shell.settings.endpoint_name, slots, started_at=since, ended_at=shell.now()
    )


def _champion_overall(plan: RolloutPlan, shell: Shell[Settings]) -> VariantEvidence:
    """The champion since the rollout began."""
    rollout = LivePointer(shell.catalog, shell.settings.loop_name).read().rollout
    if plan.champion_slot is None or rollout is None:
        return VariantEvidence()
    return _variant(_figures(shell, [plan.champion_slot], since=rollout.started_at)[plan.champion_slot], {})


def _variant(figures: VariantFigures, score: Mapping[str, Any]) -> VariantEvidence:
    low, high = score.get("low"), score.get("high")
    return VariantEvidence(
        invocations=figures.invocations,
        errors_5xx=figures.errors_5xx,
        unanswered=figures.unanswered,
        latency_ms_p99=figures.latency_ms_p99,
        quality_margin=(high - low) / 2 if low is not None and high is not None else 0.0,
        labelled=int(score.get("rows", 0)),
    )


@dataclass(frozen=True, slots=True)
class _Quality:
    """Both models' newest scores on labelled traffic, and the challenger's gain where both are of one metric."""

    challenger: Mapping[str, Any]
    champion: Mapping[str, Any]

    @property
    def gain(self) -> float | None:
        mine, theirs = self.challenger.get("value"), self.champion.get("value")
        metric = self.challenger.get("metric")
        if mine is None or theirs is None or metric is None or metric != self.champion.get("metric"):
            return None
        return gain(metric, candidate=mine, champion=theirs)


def _quality(plan: RolloutPlan, shell: Shell[Settings]) -> _Quality:
    """Read only where the policy asks for it: labels usually come too late for a rollout."""
    champion = LivePointer(shell.catalog, shell.settings.loop_name).read().live.champion
    if shell.loop.rollout.slow.max_quality_drop is None or champion is None:
        return _Quality({}, {})
    newest: dict[str, Mapping[str, Any]] = {}
    for place, item in shell.catalog.query(keys.scores_partition(shell.settings.loop_name)):
        version = place.rpartition("#")[2]
        if item["as_of"] >= newest.get(version, item)["as_of"]:
            newest[version] = item
    return _Quality(newest.get(plan.model_version, {}), newest.get(champion.model_version, {}))


def _prediction_shift(before: Mapping[str, Any], plan: RolloutPlan, shell: Shell[Settings]) -> float | None:
    """How differently both models answered since the step began; None before both have answered enough to say so."""
    policy = shell.loop.rollout
    champion = LivePointer(shell.catalog, shell.settings.loop_name).read().live.champion
    if policy.fast.max_prediction_shift is None or champion is None:
        return None
    counts: dict[str, Counter[str]] = {plan.model_version: Counter(), champion.model_version: Counter()}
    since = keys.sortable(datetime.fromisoformat(before["started_at"]))
    for _, item in shell.catalog.query(keys.predictions_partition(shell.settings.loop_name), first=since):
        for version, answers in (item.get("answers") or {}).items():
            if version in counts:
                counts[version].update({kind: int(count) for kind, count in answers.items()})
    mine, theirs = counts.values()
    return shift(mine, theirs) if min(mine.total(), theirs.total()) >= policy.min_samples else None


def shift(mine: Mapping[str, int], theirs: Mapping[str, int]) -> float:
    """
    The share of answers that are of another kind: total variation distance, 0 to 1.

    >>> shift({"yes": 3, "no": 1}, {"yes": 10, "no": 10})
    0.25
    """
    totals = sum(mine.values()), sum(theirs.values())
    kinds = {*mine, *theirs}
    return sum(abs(mine.get(kind, 0) / totals[0] - theirs.get(kind, 0) / totals[1]) for kind in kinds) / 2


def _alarms(plan: RolloutPlan, shell: Shell[Settings]) -> tuple[AlarmState, ...]:
    """The challenger's guardrails; one that CloudWatch doesn't know says nothing, so it holds the rollout."""
    states = alarm_states(shell.clients.cloudwatch, shell.settings.alarm_names.get(plan.challenger_slot, ())).states
    return tuple(
        AlarmState(name, "ALARM" if state == "ALARM" else "OK" if state == "OK" else "INSUFFICIENT_DATA")
        for name, state in sorted(states.items())
    )


def _status(plan: RolloutPlan, shell: Shell[Settings]) -> str:
    """What became of this rollout, as the live pointer says."""
    state = LivePointer(shell.catalog, shell.settings.loop_name).read()
    if state.rollout is None or not state.holds(plan.rollout_id):
        return "ended"
    return state.rollout.status if state.rollout.fencing_token == plan.fencing_token else "fenced"


def _as_planned(before: Mapping[str, Any], plan: RolloutPlan, state: EndpointState | None) -> bool:
    """
    Whether the endpoint is what the step set: SageMaker may have rolled it back without a word (P29).

    Raises
    ------
    EndpointBusy
        It is being changed, so that nothing can be said yet.
    """
    if state is None:
        return False
    if state.changing:
        raise EndpointBusy(f"{plan.endpoint_name} must be InService. Got {state.status} instead.")
    wanted = weights_for(
        plan.steps[int(before["step"])], challenger_slot=plan.challenger_slot, champion_slot=plan.champion_slot
    )
    weights = {weight["VariantName"]: float(weight["DesiredWeight"]) for weight in wanted}
    return state.status == "InService" and state.config_name == plan.endpoint_config_name and state.settled_at(weights)


def _answer(decision: StepDecision, before: Mapping[str, Any] | None, now: datetime) -> dict[str, Any]:
    """What the machine goes on with; a held step's evidence goes on from its beginning."""
    held = decision.decision == "hold" and before is not None
    return {
        **asdict(decision),
        "weights": [dict(weight) for weight in decision.weights],
        "reasons": list(decision.reasons),
        "started_at": before["started_at"] if held and before is not None else now.isoformat(),
    }


def _announcement(
    decision: StepDecision,
    evidence: dict[str, float | int | str | None],
    plan: RolloutPlan,
    shell: Shell[Settings],
) -> dict[str, Any] | None:
    """The event of a step taken or held; the end of a rollout is announced by who ends it."""
    if decision.decision not in ("advance", "hold"):
        return None
    kind = RolloutAdvanced if decision.decision == "advance" else RolloutHeld
    said = kind(
        loop=shell.settings.loop_name,
        at=shell.now(),
        rollout_id=plan.rollout_id,
        model_version=plan.model_version,
        step=decision.step,
        traffic_share=decision.traffic_share,
        evidence=evidence,
        reasons=decision.reasons,
    )
    return {"type": said.detail_type, "detail": said.model_dump(mode="json")}


handler = _shell.lambda_handler(Settings, run)
