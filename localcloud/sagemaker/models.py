"""Models and endpoint configurations: what could be deployed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from localcloud.context import Context
from localcloud.sagemaker import images, storage
from localcloud.sagemaker.errors import ValidationException
from localcloud.sagemaker.registry import Registry
from localcloud.sagemaker.state import Record, State, not_found

_UNSUPPORTED_VARIANT = ("ServerlessConfig", "InferenceAmiVersion", "ManagedInstanceScaling", "CoreDumpConfig")
_UNSUPPORTED_CONFIG = ("AsyncInferenceConfig", "ExplainerConfig", "VpcConfig")


class Models:
    """Create, describe and delete."""

    def __init__(self, context: Context, state: State, registry: Registry) -> None:
        self._context = context
        self._state = state
        self._registry = registry

    def create(self, params: Mapping[str, Any]) -> Record:
        """A model whose image we can imitate and whose artifact its role can read."""
        name, containers = params["ModelName"], params.get("Containers") or [params.get("PrimaryContainer")]
        if len(containers) != 1 or containers[0] is None or ("Containers" in params and "PrimaryContainer" in params):
            raise ValidationException("a model must have exactly one container: PrimaryContainer, or one in Containers")
        container = self._resolve(containers[0])
        images.check(container.get("Image"))
        role = params.get("ExecutionRoleArn")
        if not role:
            raise ValidationException("ExecutionRoleArn is required: the artifact is read with it")
        self._check_artifact(container, role)
        with self._state.lock:
            arn = self._state.arn("model", name)
            if name in self._state["model"]:
                raise ValidationException(f'Cannot create already existing model "{arn}".')
            self._state["model"][name] = {
                **{key: value for key, value in params.items() if key != "Tags"},
                "ModelArn": arn,
                "CreationTime": self._state.now(),
                "_container": container,
            }
            self._state.tag(arn, params.get("Tags", ()))
        return {"ModelArn": arn}

    def describe(self, params: Mapping[str, Any]) -> Record:
        """A model."""
        return self._state.get("model", params["ModelName"], not_found("model"))

    def delete(self, params: Mapping[str, Any]) -> None:
        """The model's record; its artifact stays."""
        with self._state.lock:
            model = self._state.get("model", params["ModelName"], not_found("model"))
            del self._state["model"][params["ModelName"]]
            self._state.tags.pop(model["ModelArn"], None)

    def create_config(self, params: Mapping[str, Any]) -> Record:
        """An endpoint configuration over models that exist."""
        name = params["EndpointConfigName"]
        _check_config(params)
        with self._state.lock:
            arn = self._state.arn("endpoint-config", name)
            if name in self._state["endpoint-config"]:
                raise ValidationException(f'Cannot create already existing endpoint configuration "{arn}".')
            production = [self._variant(variant) for variant in params["ProductionVariants"]]
            shadow = [self._variant(variant) for variant in params.get("ShadowProductionVariants", ())]
            self._state["endpoint-config"][name] = {
                **{key: value for key, value in params.items() if key != "Tags"},
                "EndpointConfigArn": arn,
                "CreationTime": self._state.now(),
                "ProductionVariants": production,
                "ShadowProductionVariants": shadow or None,
            }
            self._state.tag(arn, params.get("Tags", ()))
        return {"EndpointConfigArn": arn}

    def describe_config(self, params: Mapping[str, Any]) -> Record:
        """An endpoint configuration."""
        return self._state.get("endpoint-config", params["EndpointConfigName"], not_found("endpoint configuration"))

    def delete_config(self, params: Mapping[str, Any]) -> None:
        """The configuration; endpoints that use it run on, as on AWS."""
        with self._state.lock:
            config = self.describe_config(params)
            del self._state["endpoint-config"][params["EndpointConfigName"]]
            self._state.tags.pop(config["EndpointConfigArn"], None)

    def _variant(self, variant: Mapping[str, Any]) -> Record:
        self._state.get("model", variant["ModelName"], not_found("model"))
        for key in ("InstanceType", "InitialInstanceCount"):
            if key not in variant:
                raise ValidationException(f"{key} is required for variant {variant['VariantName']}")
        return {"InitialVariantWeight": 1.0, **variant}

    def _resolve(self, container: Mapping[str, Any]) -> Record:
        """A container that names a model package, with the package's image and artifact."""
        if "ModelPackageName" not in container:
            return dict(container)
        package = self._registry.package(container["ModelPackageName"])
        if package["ModelApprovalStatus"] != "Approved":
            raise ValidationException(
                f"Cannot create a model from {package['ModelPackageArn']}: its ModelApprovalStatus must be Approved. "
                f"Got {package['ModelApprovalStatus']}"
            )
        inner = package.get("InferenceSpecification", {}).get("Containers", [{}])[0]
        environment = inner.get("Environment", {}) | container.get("Environment", {})
        return {"Image": inner.get("Image"), "ModelDataUrl": inner.get("ModelDataUrl"), "Environment": environment}

    def _check_artifact(self, container: Mapping[str, Any], role: str) -> None:
        uri = container.get("ModelDataUrl")
        if not uri:
            raise ValidationException("ModelDataUrl is required: the image has no model of its own")
        try:
            bucket, key = storage.split(uri)
            self._context.call("s3", "HeadObject", {"Bucket": bucket, "Key": key}, role=role)
        except ClientError as error:
            raise ValidationException(
                f'Could not access model data at {uri}. Please ensure that the role "{role}" exists and has '
                f'"s3:GetObject" permissions, and that the object is located in {self._context.region}.'
            ) from error


def _check_config(params: Mapping[str, Any]) -> None:
    shadow = params.get("ShadowProductionVariants", ())
    if shadow and (len(shadow) > 1 or len(params["ProductionVariants"]) > 1):
        raise ValidationException("a shadow variant needs exactly one production variant and one shadow variant")
    variants = [*params["ProductionVariants"], *shadow]
    names = [variant["VariantName"] for variant in variants]
    if len(set(names)) < len(names):
        raise ValidationException(f"variant names must be unique. Got {', '.join(names)}")
    unsupported = [key for key in _UNSUPPORTED_CONFIG if key in params]
    unsupported += [key for variant in variants for key in _UNSUPPORTED_VARIANT if key in variant]
    if unsupported:
        raise ValidationException(f"not part of the local cloud: {', '.join(sorted(set(unsupported)))}")
    weights = [variant.get("InitialVariantWeight", 1.0) for variant in params["ProductionVariants"]]
    if sum(weights) <= 0:
        raise ValidationException("at least one production variant must have a weight above 0")
