"""
The rollout of one model version, from lock to promotion or rollback, as a state machine.

It owns the model, the endpoint configuration and the endpoint: their names come from the plan, so a step that is tried
again finds what it made before. `.sync` integrations don't exist for endpoints, hence SageMaker's own API and a look
every 15 seconds. InService doesn't mean that an update succeeded: the configuration's name is compared, too.
Whatever goes wrong leads to RollBack; only then does the machine end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from infra.states import (
    State,
    States,
    call,
    caught,
    choose,
    fail,
    fail_with,
    gone,
    is_present,
    note,
    on,
    retry,
    sdk,
    settle,
    wait,
)

__all__ = ["RolloutParts", "rollout_definition"]

ROLL_BACK = caught("RollBackFailure")
# What SageMaker refused first: whatever comes after it is only a consequence. Emptied where the refusal didn't matter.
REFUSED = "$.refused"
CONFIG = "$.endpoint.described.EndpointConfigName"
AS_PLANNED = is_present(
    CONFIG,
    {"Variable": CONFIG, "StringEqualsPath": "$.plan.endpoint_config_name"},
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutParts:
    """What the machine calls: ARNs of functions, of the role that the models run under, and the partition."""

    prepare: str
    smoke_test: str
    analyse: str
    finish: str
    roll_back: str
    model_role: str
    partition: str
    timeout_seconds: int


def rollout_definition(parts: RolloutParts) -> State:
    """The machine's definition; its input is documented at each function that reads it."""
    states: States = {**_prepare(parts), **_create(parts), **_steps(parts), **_end(parts), **_retire(parts)}
    return {
        "Comment": "One model version: prepare, deploy, smoke test, step, bake, analyse, finish or roll back",
        "StartAt": "Prepare",
        "TimeoutSeconds": parts.timeout_seconds,
        "States": states,
    }


def _prepare(parts: RolloutParts) -> States:
    return {
        "Prepare": call(
            parts.prepare,
            result="$.plan",
            next_state="CreateModel",
            # Another rollout of the loop: wait for up to some hours, then give up without having touched anything.
            retries=[retry(["LockHeld", "EndpointBusy"], seconds=30, attempts=20, most_seconds=600)],
            catches=[
                caught(
                    "NotStarted", "LockHeld", "EndpointBusy", "ApprovalRefused", "ArtifactChanged", "EndpointDiverged"
                ),
                caught("RollBackUnprepared"),
            ],
        ),
        # The rollout was refused before it touched the endpoint.
        "NotStarted": fail_with("$.error"),
    }


def _create(parts: RolloutParts) -> States:
    """Model, configuration and endpoint; what exists already was made by an earlier try of this very rollout."""
    plan = "$.plan.endpoint_config_name"
    endpoint = {"EndpointName.$": "$.plan.endpoint_name", "EndpointConfigName.$": plan}
    return {
        "CreateModel": sdk(
            parts.partition,
            "createModel",
            parameters={
                "ModelName.$": "$.plan.model_name",
                "PrimaryContainer.$": "$.plan.model.primary_container",
                "ExecutionRoleArn": parts.model_role,
                "EnableNetworkIsolation": True,
                "Tags.$": "$.plan.tags",
            },
            next_state="CreateEndpointConfig",
            catches=[caught("ModelExists", into=REFUSED)],
        ),
        "ModelExists": sdk(
            parts.partition,
            "describeModel",
            parameters={"ModelName.$": "$.plan.model_name"},
            selector={},
            result=REFUSED,
            next_state="CreateEndpointConfig",
            catches=[ROLL_BACK],
        ),
        "CreateEndpointConfig": _configuration(
            parts, of="$.plan", next_state="EndpointExists", otherwise="EndpointConfigExists"
        ),
        "EndpointConfigExists": sdk(
            parts.partition,
            "describeEndpointConfig",
            parameters={"EndpointConfigName.$": plan},
            selector={},
            result=REFUSED,
            next_state="EndpointExists",
            catches=[ROLL_BACK],
        ),
        "EndpointExists": choose(
            on("FailedEndpointBegins", {"Variable": "$.plan.endpoint_failed", "BooleanEquals": True}),
            on("UpdateEndpoint", {"Variable": "$.plan.endpoint_exists", "BooleanEquals": True}),
            otherwise="CreateEndpoint",
        ),
        # Nothing but its deletion is possible with an endpoint that failed; no champion is on it.
        **gone("FailedEndpoint", parts.partition, then="CreateEndpoint", lost="RollBackFailure"),
        # A refusal may mean that an earlier try had gone through: the endpoint itself tells.
        "CreateEndpoint": sdk(
            parts.partition,
            "createEndpoint",
            parameters={**endpoint, "Tags.$": "$.plan.tags"},
            next_state="DeploymentBegins",
            catches=[caught("DeploymentBegins", into=REFUSED)],
        ),
        "UpdateEndpoint": sdk(
            parts.partition,
            "updateEndpoint",
            parameters=endpoint,
            next_state="DeploymentBegins",
            catches=[caught("DeploymentBegins", into=REFUSED)],
        ),
        **settle(
            "Deployment",
            parts.partition,
            then="Deployed",
            settled=[AS_PLANNED],
            lost="RollBackFailure",
        ),
        "Deployed": note("SmokeTest", parameters={}, result=REFUSED),
        "SmokeTest": call(
            parts.smoke_test,
            parameters={"plan.$": "$.plan", "run_id.$": "$.run_id"},
            result="$.smoke_test",
            next_state="Begin",
            catches=[caught("RollBackSmokeTest", "SmokeTestFailed"), ROLL_BACK],
        ),
    }


def _configuration(parts: RolloutParts, *, of: str, next_state: str, otherwise: str) -> State:
    """An endpoint configuration with the name and the variants at the path `of`; capture and tags are the plan's."""
    return sdk(
        parts.partition,
        "createEndpointConfig",
        parameters={
            "EndpointConfigName.$": f"{of}.endpoint_config_name",
            "ProductionVariants.$": f"{of}.production_variants",
            "DataCaptureConfig.$": "$.plan.data_capture",
            "Tags.$": "$.plan.tags",
        },
        next_state=next_state,
        catches=[caught(otherwise)],
    )


def _steps(parts: RolloutParts) -> States:
    """Raise the challenger's share, bake, look; what to do next is decided by the function, not here."""
    decided = "$.step.decision"
    busy = [retry(["EndpointBusy"], seconds=5, attempts=30, most_seconds=30)]
    return {
        "Begin": call(
            parts.analyse,
            parameters={"plan.$": "$.plan", "phase": "start"},
            result="$.step",
            next_state="Decide",
            catches=[ROLL_BACK],
        ),
        "Decide": choose(
            on("UpdateWeights", {"Variable": decided, "StringEquals": "advance"}),
            on("Bake", {"Variable": decided, "StringEquals": "hold"}),
            on("Finish", {"Variable": decided, "StringEquals": "finish"}),
            otherwise="RollBackDecided",
        ),
        "UpdateWeights": sdk(
            parts.partition,
            "updateEndpointWeightsAndCapacities",
            parameters={
                "EndpointName.$": "$.plan.endpoint_name",
                "DesiredWeightsAndCapacities.$": "$.step.weights",
            },
            next_state="StepBegins",
            catches=[ROLL_BACK],
        ),
        **settle(
            "Step",
            parts.partition,
            then="Bake",
            settled=[AS_PLANNED, *(_weight_arrived(variant) for variant in (0, 1))],
            lost="RollBackFailure",
        ),
        "Bake": wait("Analyse", path="$.step.bake_seconds"),
        "Analyse": call(
            parts.analyse,
            parameters={"plan.$": "$.plan", "step.$": "$.step", "phase": "baked"},
            result="$.step",
            next_state="Decide",
            retries=busy,
            catches=[ROLL_BACK],
        ),
        # The former champion keeps some weight until the live pointer has moved; the function sees to both.
        "Finish": call(
            parts.finish,
            parameters={"plan.$": "$.plan", "step.$": "$.step", "run_id.$": "$.run_id"},
            result="$.ended",
            next_state="WhetherToRetire",
            retries=busy,
            catches=[ROLL_BACK],
        ),
    }


def _weight_arrived(variant: int) -> State:
    current, desired = (f"$.endpoint.{name}[{variant}]" for name in ("current", "desired"))
    return is_present(current, is_present(desired, {"Variable": current, "NumericEqualsPath": desired}))


def _end(parts: RolloutParts) -> States:
    """Weights go back first, whatever the reason; the function says how it ended and what is left to retire."""
    planned = {"plan.$": "$.plan"}
    # All that was collected: which of it is there depends on how far the rollout came.
    collected = {"cause": "failure", "state.$": "$"}
    decided = {"cause.$": "$.step.cause", "reasons.$": "$.step.reasons", **planned}
    return {
        "RollBackUnprepared": _revert(parts, {"cause": "failure", "error.$": "$.error"}),
        "RollBackFailure": _revert(parts, collected),
        "RollBackSmokeTest": _revert(parts, {"cause": "smoke test", "error.$": "$.error", **planned}),
        "RollBackDecided": _revert(parts, decided),
        "RollBackFailed": fail("RollBackFailed", "The champion could not be given all traffic; a person must look"),
        "Ended": note(None, parameters={"status.$": "$.ended.status", "model_version.$": "$.model_version"}),
    }


def _revert(parts: RolloutParts, parameters: dict[str, Any]) -> State:
    return call(
        parts.roll_back,
        parameters={"rollout_id.$": "$.rollout_id", "model_version.$": "$.model_version", **parameters},
        result="$.ended",
        next_state="WhetherToRetire",
        timeout_seconds=300,
        # Busy while it still takes an earlier update: up to half an hour.
        retries=[retry(["EndpointBusy"], seconds=5, attempts=60, most_seconds=30)],
        catches=[caught("RollBackFailed", into="$.roll_back_error")],
    )


def _retire(parts: RolloutParts) -> States:
    """
    Leave one variant: the promoted model's, unless the former champion is kept warm; the champion's after a rollback.

    Traffic is where it should be by now, so a failure here only leaves an instance that costs money. A configuration
    that isn't this rollout's is left alone.
    """
    return {
        "WhetherToRetire": choose(
            on("LeavingBegins", {"Variable": "$.ended.retire", "BooleanEquals": True}), otherwise="Ended"
        ),
        **settle(
            "Leaving",
            parts.partition,
            then="CreateRetiredConfig",
            settled=[AS_PLANNED],
            lost="Ended",
        ),
        "CreateRetiredConfig": _configuration(parts, of="$.ended", next_state="Retire", otherwise="Retire"),
        "Retire": sdk(
            parts.partition,
            "updateEndpoint",
            parameters={
                "EndpointName.$": "$.plan.endpoint_name",
                "EndpointConfigName.$": "$.ended.endpoint_config_name",
            },
            next_state="RetiredBegins",
            catches=[caught("Ended")],
        ),
        **settle(
            "Retired",
            parts.partition,
            then="Ended",
            settled=[
                is_present(
                    CONFIG,
                    {"Variable": CONFIG, "StringEqualsPath": "$.ended.endpoint_config_name"},
                )
            ],
            lost="Ended",
        ),
    }
