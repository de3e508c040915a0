"""Endpoints: which variants serve, with which weights, and the way from one configuration to the next."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from localcloud.context import Context
from localcloud.sagemaker import images
from localcloud.sagemaker.errors import ValidationException
from localcloud.sagemaker.faults import Faults
from localcloud.sagemaker.logs import LogShipper
from localcloud.sagemaker.quotas import refuse_beyond_quota
from localcloud.sagemaker.shapes import in_milliseconds
from localcloud.sagemaker.state import Record, State, not_found
from localcloud.sagemaker.variant import Unhealthy, Variant

WEIGHT_UPDATE_SECONDS = 20.0
ROLLBACK_SECONDS = 20.0
SHORTEST_SECONDS = 0.3
"""A state that passes is shown for at least this long, however fast time is."""
_MOVING = ("Creating", "Updating", "RollingBack", "SystemUpdating", "Deleting")
_EVENT_STATUS = {
    "Creating": "CREATING", "Updating": "UPDATING", "RollingBack": "ROLLING_BACK", "InService": "IN_SERVICE",
    "Failed": "FAILED", "Deleting": "DELETING", "UpdateRollbackFailed": "UPDATE_ROLLBACK_FAILED",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Live:
    """What a request needs to know of an endpoint; replaced as a whole, so that routing takes no lock."""

    name: str
    variants: Mapping[str, Variant]
    weights: Mapping[str, float]
    counts: Mapping[str, int]
    shadow: Variant | None
    shadow_share: float
    capture: Mapping[str, Any]
    role: str


class Endpoints:
    """Create, describe, update, delete; and what serves."""

    def __init__(self, context: Context, state: State, shipper: LogShipper, faults: Faults) -> None:
        self._context = context
        self._state = state
        self._shipper = shipper
        self._faults = faults
        self._live: dict[str, Live] = {}
        self._variants: dict[str, list[Variant]] = {}

    def live(self, name: str) -> Live | None:
        """What serves under `name` now."""
        return self._live.get(name)

    def await_live(self, name: str, seconds: float) -> Live | None:
        """What serves under `name`, waited for while an endpoint in service is brought up again after a restart."""
        pace = self._context.pace
        deadline = pace.now() + seconds
        while name not in self._live and pace.now() < deadline:
            record = self._state["endpoint"].get(name)
            if record is None or record["EndpointStatus"] != "InService" or not self._context.sleep(0.05):
                break
        return self._live.get(name)

    def knows(self, name: str) -> bool:
        """Whether there is such an endpoint, serving or not."""
        return name in self._state["endpoint"]

    # Operations

    def create(self, params: Mapping[str, Any]) -> Record:
        """Start the variants of a configuration."""
        _refuse_deployment_config(params)
        name = params["EndpointName"]
        with self._state.lock:
            arn = self._state.arn("endpoint", name)
            if name in self._state["endpoint"]:
                raise ValidationException(f'Cannot create already existing endpoint "{arn}".')
            config = self._config(params["EndpointConfigName"])
            refuse_beyond_quota(config["ProductionVariants"])
            now = self._state.now()
            record: Record = {
                "EndpointName": name,
                "EndpointArn": arn,
                "EndpointConfigName": params["EndpointConfigName"],
                # At once: whoever describes it before its first move sees what AWS shows then.
                "EndpointStatus": "Creating",
                "CreationTime": now,
                "LastModifiedTime": now,
                "_variants": self._specs(config),
                "_capture": config.get("DataCaptureConfig") or {},
            }
            self._state["endpoint"][name] = record
            self._state.tag(arn, params.get("Tags", ()))
        self._move(record, "Creating")
        self._context.background(lambda: self._bring_up(record), name=f"create-{name}")
        return {"EndpointArn": arn}

    def describe(self, params: Mapping[str, Any]) -> Record:
        """An endpoint as it is now."""
        with self._state.lock:
            return self._shown(self._record(params["EndpointName"]))

    def _shown(self, record: Record) -> Record:
        shown = dict(record)
        shown["ProductionVariants"] = [_summary(spec) for spec in record["_variants"] if not spec["_shadow"]]
        shadow = [_summary(spec) for spec in record["_variants"] if spec["_shadow"]]
        shown["ShadowProductionVariants"] = shadow or None
        if capture := record["_capture"]:
            shown["DataCaptureConfig"] = {
                "EnableCapture": capture.get("EnableCapture", True),
                "CaptureStatus": "Started" if capture.get("EnableCapture", True) else "Stopped",
                "CurrentSamplingPercentage": capture["InitialSamplingPercentage"],
                "DestinationS3Uri": capture["DestinationS3Uri"],
                "KmsKeyId": capture.get("KmsKeyId", ""),
            }
        return shown

    def update(self, params: Mapping[str, Any]) -> Record:
        """Replace what serves by the variants of another configuration, once those are healthy."""
        _refuse_deployment_config(params)
        with self._state.lock:
            record = self._settled(params["EndpointName"])
            config = self._config(params["EndpointConfigName"])
            refuse_beyond_quota(config["ProductionVariants"])
            specs = self._specs(config)
            if params.get("RetainAllVariantProperties"):
                _retain(record["_variants"], specs, params.get("ExcludeRetainedVariantProperties", ()))
            record["PendingDeploymentSummary"] = {
                "EndpointConfigName": params["EndpointConfigName"],
                "StartTime": self._state.now(),
                "ProductionVariants": [
                    {"VariantName": spec["VariantName"], "DesiredWeight": spec["DesiredWeight"]} for spec in specs
                ],
            }
            arn: str = record["EndpointArn"]
        self._move(record, "Updating")
        capture = config.get("DataCaptureConfig") or {}
        self._context.background(
            lambda: self._replace(record, params["EndpointConfigName"], specs, capture), name=f"update-{arn[-20:]}"
        )
        return {"EndpointArn": arn}

    def update_weights(self, params: Mapping[str, Any]) -> Record:
        """Move variants' weights and instance counts."""
        with self._state.lock:
            record = self._settled(params["EndpointName"])
            specs = {spec["VariantName"]: spec for spec in record["_variants"] if not spec["_shadow"]}
            for change in params["DesiredWeightsAndCapacities"]:
                if change["VariantName"] not in specs:
                    raise ValidationException(
                        f'Could not find variant "{change["VariantName"]}" of endpoint "{record["EndpointArn"]}".'
                    )
            desired = {name: spec["DesiredWeight"] for name, spec in specs.items()}
            desired |= {
                c["VariantName"]: c["DesiredWeight"]
                for c in params["DesiredWeightsAndCapacities"]
                if "DesiredWeight" in c
            }
            if sum(desired.values()) <= 0:
                raise ValidationException("at least one variant must have a weight above 0")
            for change in params["DesiredWeightsAndCapacities"]:
                spec = specs[change["VariantName"]]
                spec["DesiredWeight"] = change.get("DesiredWeight", spec["DesiredWeight"])
                spec["DesiredInstanceCount"] = change.get("DesiredInstanceCount", spec["DesiredInstanceCount"])
        self._move(record, "Updating")
        self._context.background(lambda: self._settle_weights(record), name=f"weights-{params['EndpointName']}")
        return {"EndpointArn": record["EndpointArn"]}

    def delete(self, params: Mapping[str, Any]) -> None:
        """Stop serving; not in the middle of a change."""
        with self._state.lock:
            record = self._settled(params["EndpointName"], also=("Failed", "OutOfService", "UpdateRollbackFailed"))
        self._move(record, "Deleting")
        self._context.background(lambda: self._remove(record), name=f"delete-{params['EndpointName']}")

    # What they set off

    def _bring_up(self, record: Record) -> None:
        try:
            if (fault := self._faults.outcome("CreateEndpoint")) is not None:
                raise Unhealthy(fault[1])
            self._deploy(record, record["_variants"], record["_capture"])
        except Unhealthy as error:
            if self._context.stopping:
                return
            self._move(record, "Failed", FailureReason=str(error))
            return
        self._move(record, "InService")

    def _replace(self, record: Record, config_name: str, specs: list[Record], capture: Mapping[str, Any]) -> None:
        fault = self._faults.outcome("UpdateEndpoint")
        try:
            if fault is not None:
                raise Unhealthy(fault[1])
            self._deploy(record, specs, capture)
        except Unhealthy as error:
            if self._context.stopping:
                return
            self._move(record, "RollingBack")
            self._pause(ROLLBACK_SECONDS)
            if fault is not None and fault[0] == "UpdateRollbackFailed":
                # What served before goes on serving, but SageMaker takes no change any more.
                self._move(record, "UpdateRollbackFailed", FailureReason=str(error), PendingDeploymentSummary=None)
                return
            self._move(record, "InService", FailureReason=str(error), PendingDeploymentSummary=None)
            return
        changes = {"EndpointConfigName": config_name, "_variants": specs, "_capture": dict(capture)}
        self._move(record, "InService", FailureReason=None, PendingDeploymentSummary=None, **changes)

    def _deploy(self, record: Record, specs: list[Record], capture: Mapping[str, Any]) -> None:
        """Start what `specs` need beside what runs, then switch, then stop what is not needed any more."""
        name = record["EndpointName"]
        old = self._variants.get(name, [])
        chosen = [next((v for v in old if v.same_model(spec)), None) for spec in specs]
        variants = [
            v or Variant(self._context, self._shipper, name, spec) for v, spec in zip(chosen, specs, strict=True)
        ]
        fresh = [variant for variant in variants if variant not in old]
        try:
            with ThreadPoolExecutor(max(1, len(fresh))) as pool:
                list(pool.map(self._start, fresh))
        except Unhealthy:
            for variant in fresh:
                variant.stop()
            raise
        self._variants[name] = variants
        self._route(name, specs, capture)
        for variant in old:
            if variant not in variants:
                variant.retire()

    def _start(self, variant: Variant) -> None:
        with self._context.scope():
            variant.start()

    def _route(self, name: str, specs: Sequence[Record], capture: Mapping[str, Any]) -> None:
        processes = {variant.name: variant for variant in self._variants[name]}
        production = [spec for spec in specs if not spec["_shadow"]]
        shadow = next((spec for spec in specs if spec["_shadow"]), None)
        weight = production[0]["CurrentWeight"]
        self._live[name] = Live(
            name=name,
            variants={spec["VariantName"]: processes[spec["VariantName"]] for spec in production},
            weights={spec["VariantName"]: spec["CurrentWeight"] for spec in production},
            counts={spec["VariantName"]: spec["CurrentInstanceCount"] for spec in production},
            shadow=processes[shadow["VariantName"]] if shadow else None,
            shadow_share=min(1.0, shadow["CurrentWeight"] / weight) if shadow and weight else 0.0,
            capture=capture,
            role=production[0]["_role"],
        )

    def _settle_weights(self, record: Record) -> None:
        self._pause(WEIGHT_UPDATE_SECONDS)
        with self._state.lock:
            for spec in record["_variants"]:
                spec["CurrentWeight"] = spec["DesiredWeight"]
                spec["CurrentInstanceCount"] = spec["DesiredInstanceCount"]
            self._route(record["EndpointName"], record["_variants"], record["_capture"])
        self._move(record, "InService", FailureReason=None)

    def _remove(self, record: Record) -> None:
        name = record["EndpointName"]
        self._live.pop(name, None)
        for variant in self._variants.pop(name, []):
            variant.retire()
        with self._state.lock:
            del self._state["endpoint"][name]
            self._state.tags.pop(record["EndpointArn"], None)

    def _pause(self, seconds: float) -> None:
        self._context.sleep(max(SHORTEST_SECONDS, self._context.scales.wait(seconds)))

    # Over a restart, and in between

    def resume(self) -> None:
        """After a restart: serve again what served before; a change of weights that was under way is done."""
        shutil.rmtree(self._context.directory("sagemaker") / "endpoint", ignore_errors=True)
        for record in list(self._state["endpoint"].values()):
            status = record["EndpointStatus"]
            if status == "Deleting":
                self._remove(record)
            elif status != "Failed":
                record["PendingDeploymentSummary"] = None
                for spec in record["_variants"]:
                    spec["CurrentWeight"] = spec["DesiredWeight"]
                    spec["CurrentInstanceCount"] = spec["DesiredInstanceCount"]
                record["EndpointStatus"] = "Creating" if status == "Creating" else "InService"
                self._context.background(lambda record=record: self._bring_up(record), name="resume")  # type: ignore[misc]

    def watch(self) -> None:
        """Restart processes that ended by themselves."""
        for variants in list(self._variants.values()):
            for variant in variants:
                variant.watch()

    # Records

    def _record(self, name: str) -> Record:
        return self._state.get("endpoint", name, not_found("endpoint"))

    def _settled(self, name: str, *, also: tuple[str, ...] = ()) -> Record:
        """An endpoint that may be changed."""
        record = self._record(name)
        if record["EndpointStatus"] in _MOVING:
            raise ValidationException(f'Cannot update in-progress endpoint "{record["EndpointArn"]}".')
        if record["EndpointStatus"] not in ("InService", *also):
            raise ValidationException(
                f'Endpoint "{record["EndpointArn"]}" must be InService. Got {record["EndpointStatus"]}'
            )
        return record

    def _config(self, name: str) -> Record:
        return self._state.get("endpoint-config", name, not_found("endpoint configuration"))

    def _specs(self, config: Mapping[str, Any]) -> list[Record]:
        """A configuration's variants with all that serving them takes: models may be deleted later."""
        listed = [(v, False) for v in config["ProductionVariants"]]
        listed += [(v, True) for v in config.get("ShadowProductionVariants") or ()]
        return [self._spec(variant, shadow) for variant, shadow in listed]

    def _spec(self, variant: Mapping[str, Any], shadow: bool) -> Record:
        model = self._state.get("model", variant["ModelName"], not_found("model"))
        image = model["_container"]["Image"]
        weight, count = float(variant["InitialVariantWeight"]), variant["InitialInstanceCount"]
        return {
            "VariantName": variant["VariantName"],
            "ModelName": variant["ModelName"],
            "CurrentWeight": weight,
            "DesiredWeight": weight,
            "CurrentInstanceCount": count,
            "DesiredInstanceCount": count,
            "DeployedImages": [
                {"SpecifiedImage": image, "ResolvedImage": images.resolved(image), "ResolutionTime": self._state.now()}
            ],
            "_container": model["_container"],
            "_role": model["ExecutionRoleArn"],
            "_shadow": shadow,
        }

    def _move(self, record: Record, status: str, **changes: Any) -> None:
        with self._state.lock:
            record |= {"EndpointStatus": status, "LastModifiedTime": self._state.now(), **changes}
            detail = {k: v for k, v in self._shown(record).items() if not k.startswith("_") and v is not None}
        tags = {"Tags": dict(self._state.tags.get(record["EndpointArn"], {}))}
        detail = in_milliseconds(detail) | {"EndpointStatus": _EVENT_STATUS[status]} | tags
        self._context.put_event("aws.sagemaker", "SageMaker Endpoint State Change", detail, [record["EndpointArn"]])


def _summary(spec: Record) -> Record:
    return {key: value for key, value in spec.items() if not key.startswith("_") and key != "ModelName"}


def _retain(old: Sequence[Record], new: Sequence[Record], excluded: Sequence[Mapping[str, str]]) -> None:
    """Variants of the same name keep their weights and counts, but for the excluded kinds."""
    kinds = {item["VariantPropertyType"] for item in excluded}
    known = {spec["VariantName"]: spec for spec in old}
    for spec in new:
        before = known.get(spec["VariantName"])
        if before is None:
            continue
        if "DesiredWeight" not in kinds:
            spec["CurrentWeight"] = spec["DesiredWeight"] = before["CurrentWeight"]
        if "DesiredInstanceCount" not in kinds:
            spec["CurrentInstanceCount"] = spec["DesiredInstanceCount"] = before["CurrentInstanceCount"]


def _refuse_deployment_config(params: Mapping[str, Any]) -> None:
    if "DeploymentConfig" in params:
        raise ValidationException("not part of the local cloud: DeploymentConfig; it changes endpoints all at once")
