"""
Service calls as Step Functions writes them: names of parameters and results, and names of errors.

SDK integrations use the AWS SDK for Java 2.x's names, optimised integrations those of 1.x
(https://docs.aws.amazon.com/step-functions/latest/dg/supported-services-awssdk.html, read 2026-11). An error that the
service's model does not declare shows as the SDK's base exception: a missing SageMaker endpoint, a
ValidationException on the wire, is caught as SageMaker.SageMakerException.
"""

from __future__ import annotations

import functools
import json
import re
from datetime import datetime
from typing import Any

import botocore.session
from botocore.exceptions import ClientError, ParamValidationError
from botocore.model import OperationModel, ServiceModel, Shape
from ministack.services import stepfunctions as sf

from localcloud.context import Context
from localcloud.states.errors import RUNTIME, StateFailed

# Where an SDK integration's name is not botocore's.
_BOTOCORE_NAMES = {
    "sfn": "stepfunctions",
    "cloudwatchlogs": "logs",
    "eventbridge": "events",
    "sagemakerruntime": "sagemaker-runtime",
    "rdsdata": "rds-data",
    "dynamodbstreams": "dynamodbstreams",
    "resourcegroupstaggingapi": "resourcegroupstaggingapi",
}
_PREFIXES = {"dynamodb": "DynamoDb", "sqs": "Sqs", "sns": "Sns", "stepfunctions": "Sfn", "ssm": "Ssm", "kms": "Kms",
             "iam": "Iam", "sts": "Sts", "ec2": "Ec2", "ecs": "Ecs", "ecr": "Ecr", "rds": "Rds",
             "logs": "CloudWatchLogs"}  # fmt: skip
# SDK for Java 1.x: the prefix of error names, and the base exception.
_OPTIMISED = {
    "lambda": ("Lambda", "AWSLambdaException"),
    "dynamodb": ("DynamoDB", "AmazonDynamoDBException"),
    "sqs": ("SQS", "AmazonSQSException"),
    "sns": ("SNS", "AmazonSNSException"),
    "sagemaker": ("SageMaker", "AmazonSageMakerException"),
    "stepfunctions": ("StepFunctions", "AWSStepFunctionsException"),
    "events": ("EventBridge", "AmazonEventBridgeException"),
}


def service_name(name: str) -> str | None:
    """botocore's name of the service that an SDK integration calls `name`; None when there is no such service."""
    found = _BOTOCORE_NAMES.get(name.lower(), name.lower())
    return found if found in _services() else None


def operation_name(service: str, action: str) -> str | None:
    """The API's name of `action`; None when the service has no such operation."""
    return next((name for name in model(service).operation_names if name.lower() == action.lower()), None)


def call(
    context: Context, service: str, operation: str, parameters: Any, *, role: str, optimised: bool
) -> dict[str, Any]:
    """
    What the service answers, in the integration's names.

    Raises
    ------
    StateFailed
        With the error name that the integration shows; States.Runtime for parameters that do not fit.
    """
    described = model(service).operation_model(operation)
    try:
        request = _request(parameters or {}, described.input_shape, operation)
        answer = context.call(service, operation, request, role=role)
    except ClientError as error:
        raise failure(error, service, described, optimised=optimised) from None
    except ParamValidationError as error:
        raise StateFailed(RUNTIME, f"The Parameters of {service}:{operation} are not valid: {error}") from None
    return dict(_response(answer, described.output_shape, optimised=optimised) or {})


def failure(error: ClientError, service: str, operation: OperationModel, *, optimised: bool) -> StateFailed:
    """The error as the integration names it."""
    details = error.response.get("Error", {})
    code = str(details.get("Code", "")).rpartition("#")[2]
    metadata = error.response.get("ResponseMetadata", {})
    name = _declared(code, operation, service) or _declared(str(details.get("QueryErrorCode", "")), operation, service)
    prefix = _OPTIMISED[service][0] if optimised else _prefix(service)
    base = _OPTIMISED[service][1] if optimised else f"{prefix}Exception"
    cause = (
        f"{details.get('Message', '')} (Service: {prefix}, Status Code: {metadata.get('HTTPStatusCode', 400)}, "
        f"Request ID: {metadata.get('RequestId', '')})"
    )
    return StateFailed(f"{prefix}.{name or base}", cause)


@functools.cache
def model(service: str) -> ServiceModel:
    """botocore's description of a service."""
    return botocore.session.get_session().get_service_model(service)


@functools.cache
def _services() -> frozenset[str]:
    return frozenset(botocore.session.get_session().get_available_services())


def _prefix(service: str) -> str:
    return _PREFIXES.get(service) or str(model(service).service_id).replace(" ", "")


def _declared(code: str, operation: OperationModel, service: str) -> str | None:
    """The Java exception's name, when the service's model declares the error."""
    for shape in model(service).error_shapes:
        if code in (shape.name, shape.metadata.get("error", {}).get("code")):
            name = str(sf._api_name_to_sfn_key(shape.name))
            stem = name.removesuffix("Fault")
            return stem if stem.endswith("Exception") else f"{stem}Exception"
    return None


def _request(value: Any, shape: Shape | None, where: str) -> Any:
    if shape is None:
        return {}
    if shape.type_name == "structure" and isinstance(value, dict):
        known = {_key(name): name for name in shape.members} | {
            _key(sf._api_name_to_sfn_key(name)): name for name in shape.members
        }
        unknown = [name for name in value if _key(name) not in known]
        if unknown:
            raise StateFailed(RUNTIME, f"The field '{unknown[0]}' is not supported by Step Functions ({where})")
        return {
            known[_key(name)]: _request(part, shape.members[known[_key(name)]], f"{where}.{name}")
            for name, part in value.items()
        }
    if shape.type_name == "list" and isinstance(value, list):
        return [_request(part, shape.member, where) for part in value]
    if shape.type_name == "map" and isinstance(value, dict):
        return {name: _request(part, shape.value, where) for name, part in value.items()}
    return _scalar(value, shape)


def _scalar(value: Any, shape: Shape) -> Any:
    if shape.type_name in ("string", "blob") and not isinstance(value, str):
        return json.dumps(value)
    if shape.type_name in ("integer", "long") and isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _response(value: Any, shape: Shape | None, *, optimised: bool) -> Any:
    if hasattr(value, "read"):
        value = value.read()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    if isinstance(value, list):
        return [_response(part, getattr(shape, "member", None), optimised=optimised) for part in value]
    if not isinstance(value, dict):
        return value
    if shape is not None and shape.type_name == "map":
        return {name: _response(part, shape.value, optimised=optimised) for name, part in value.items()}
    members = getattr(shape, "members", {})
    return {
        _capital(name) if optimised else sf._api_name_to_sfn_key(name): _response(
            part, members.get(name), optimised=optimised
        )
        for name, part in value.items()
    }


def _key(name: str) -> str:
    return re.sub(r"^.", lambda first: first[0].lower(), name)


def _capital(name: str) -> str:
    return name[:1].upper() + name[1:]
