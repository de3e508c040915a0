"""
SageMaker as far as functions touch it, put in at botocore's seam: our code and botocore's own checks run as they are.

moto lacks update_endpoint and weights, so endpoints live here; packages too, since moto takes a ClientToken twice.
Facts imitated (AWS API reference): a missing endpoint is a ValidationException; updates while Updating are refused; a
ClientToken given again gives the same package.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Answer = dict[str, Any]


class Refused(Exception):
    """An API error of a code, with a message."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        self.code, self.message, self.status = code, message, status
        super().__init__(message)


@dataclass
class FakeEndpoint:
    """One endpoint; new weights are current at once."""

    config_name: str
    weights: dict[str, float]
    status: str = "InService"
    history: list[dict[str, float]] = field(default_factory=list)

    def describe(self, name: str) -> Answer:
        return {
            "EndpointName": name,
            "EndpointArn": f"arn:aws:sagemaker:us-east-1:123456789012:endpoint/{name}",
            "EndpointConfigName": self.config_name,
            "EndpointStatus": self.status,
            "CreationTime": 1772366398,
            "LastModifiedTime": 1772366398,
            "ProductionVariants": [
                {"VariantName": variant, "CurrentWeight": weight, "DesiredWeight": weight}
                for variant, weight in self.weights.items()
            ],
        }


@dataclass
class FakeSageMaker:
    """State of one account, and the answers of its model endpoints."""

    endpoints: dict[str, FakeEndpoint] = field(default_factory=dict)
    packages: dict[str, Answer] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    models: dict[str, dict[str, str]] = field(default_factory=dict)
    configs: dict[str, dict[str, str]] = field(default_factory=dict)
    # What an invocation answers: given the body and the target variant.
    answer: Callable[[Any, str | None], Any] = lambda body, variant: {}
    calls: list[str] = field(default_factory=list)
    # Called before each call with its operation: tests let the world move meanwhile.
    meanwhile: Callable[[str], None] = lambda operation: None

    def attach(self, session: Any) -> None:
        """Answer every SageMaker call of clients that are made from a boto3 session from now on."""
        session.events.register_first("before-call.sagemaker", self._answer_api)
        session.events.register_first("before-call.sagemaker-runtime", self._answer_runtime)

    def _answer_api(self, model: Any, params: Any, **_: Any) -> Any:
        self.calls.append(model.name)
        self.meanwhile(model.name)
        handler = getattr(self, "_" + model.name, None)
        if handler is None:
            raise NotImplementedError(f"the fake doesn't know {model.name}")
        return self._respond(lambda: handler(json.loads(params["body"] or b"{}")))

    def _answer_runtime(self, model: Any, params: Any, **_: Any) -> Any:
        self.calls.append(model.name)

        def invoke() -> Answer:
            name = params["url_path"].split("/")[2]
            if name not in self.endpoints:
                raise Refused("ValidationError", f"Endpoint {name} of account 123456789012 not found.")
            body = self.answer(json.loads(params["body"]), params["headers"].get("X-Amzn-SageMaker-Target-Variant"))
            return {"Body": io.BytesIO(json.dumps(body).encode()), "ContentType": "application/json"}

        return self._respond(invoke)

    @staticmethod
    def _respond(handler: Callable[[], Answer]) -> Any:
        class Http:
            status_code = 200

        try:
            return Http(), {"ResponseMetadata": {"HTTPStatusCode": 200}, **handler()}
        except Refused as refused:
            Http.status_code = refused.status
            meta = {"HTTPStatusCode": refused.status}
            return Http(), {"Error": {"Code": refused.code, "Message": refused.message}, "ResponseMetadata": meta}

    def _endpoint(self, name: str) -> FakeEndpoint:
        if name not in self.endpoints:
            raise Refused("ValidationException", f'Could not find endpoint "{name}".')
        return self.endpoints[name]

    def _DescribeEndpoint(self, said: Answer) -> Answer:  # noqa: N802
        return self._endpoint(said["EndpointName"]).describe(said["EndpointName"])

    def _UpdateEndpointWeightsAndCapacities(self, said: Answer) -> Answer:  # noqa: N802
        endpoint = self._endpoint(said["EndpointName"])
        if endpoint.status != "InService":
            raise Refused(
                "ValidationException", f"Cannot update in-progress endpoint. Status: {endpoint.status} (Updating)"
            )
        wanted = {one["VariantName"]: one["DesiredWeight"] for one in said["DesiredWeightsAndCapacities"]}
        unknown = set(wanted) - set(endpoint.weights)
        if unknown:
            raise Refused("ValidationException", f"Variants {unknown} do not exist.")
        endpoint.weights |= wanted
        endpoint.history.append(dict(endpoint.weights))
        return {"EndpointArn": "arn:aws:sagemaker:us-east-1:123456789012:endpoint/" + said["EndpointName"]}

    def _DeleteEndpoint(self, said: Answer) -> Answer:  # noqa: N802
        status = self._endpoint(said["EndpointName"]).status
        if status not in ("InService", "Failed", "OutOfService"):
            raise Refused("ValidationException", f"Cannot delete endpoint in status {status}.")
        del self.endpoints[said["EndpointName"]]
        return {}

    def _CreateModelPackage(self, said: Answer) -> Answer:  # noqa: N802
        token = said["ClientToken"]
        if token not in self.tokens:
            number = len(self.packages) + 1
            arn = f"arn:aws:sagemaker:us-east-1:123456789012:model-package/{said['ModelPackageGroupName']}/{number}"
            self.tokens[token] = arn
            self.packages[arn] = {**said, "ModelPackageArn": arn, "ModelPackageStatus": "Completed", "CreationTime": 0}
        return {"ModelPackageArn": self.tokens[token]}

    def _package(self, arn: str) -> Answer:
        if arn not in self.packages:
            raise Refused("ValidationException", f"ModelPackage {arn} does not exist.")
        return self.packages[arn]

    def _DescribeModelPackage(self, said: Answer) -> Answer:  # noqa: N802
        return self._package(said["ModelPackageName"])

    def _UpdateModelPackage(self, said: Answer) -> Answer:  # noqa: N802
        self._package(said["ModelPackageArn"]).update(said)
        return {"ModelPackageArn": said["ModelPackageArn"]}

    def _DeleteModelPackage(self, said: Answer) -> Answer:  # noqa: N802
        self._package(said["ModelPackageName"])
        del self.packages[said["ModelPackageName"]]
        return {}

    def _ListModelPackages(self, said: Answer) -> Answer:  # noqa: N802
        return {"ModelPackageSummaryList": [{"ModelPackageArn": arn} for arn in self.packages]}

    def _ListEndpointConfigs(self, said: Answer) -> Answer:  # noqa: N802
        found = [name for name in self.configs if said["NameContains"] in name]
        return {"EndpointConfigs": [{"EndpointConfigName": n, "EndpointConfigArn": f"config/{n}"} for n in found]}

    def _ListModels(self, said: Answer) -> Answer:  # noqa: N802
        found = [name for name in self.models if said["NameContains"] in name]
        return {"Models": [{"ModelName": name, "ModelArn": f"model/{name}"} for name in found]}

    def _ListTags(self, said: Answer) -> Answer:  # noqa: N802
        kind, _, name = said["ResourceArn"].partition("/")
        tags = (self.configs if kind == "config" else self.models)[name]
        return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}

    def _DeleteEndpointConfig(self, said: Answer) -> Answer:  # noqa: N802
        del self.configs[said["EndpointConfigName"]]
        return {}

    def _DeleteModel(self, said: Answer) -> Answer:  # noqa: N802
        del self.models[said["ModelName"]]
        return {}
