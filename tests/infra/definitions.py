"""State machine definitions as they would be deployed, out of a template: references become names and ARNs."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["ACCOUNT", "REGION", "definitions", "resolved"]

ACCOUNT = "123456789012"
REGION = "us-east-1"
PSEUDO = {
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::AccountId": ACCOUNT,
    "AWS::URLSuffix": "amazonaws.com",
    "AWS::StackName": "stack",
}
ARNS = {
    "AWS::Lambda::Function": "arn:aws:lambda:{region}:{account}:function:{name}",
    "AWS::IAM::Role": "arn:aws:iam::{account}:role/{name}",
    "AWS::KMS::Key": "arn:aws:kms:{region}:{account}:key/{name}",
    "AWS::StepFunctions::StateMachine": "arn:aws:states:{region}:{account}:stateMachine:{name}",
    "AWS::SNS::Topic": "arn:aws:sns:{region}:{account}:{name}",
    "AWS::SQS::Queue": "arn:aws:sqs:{region}:{account}:{name}",
    "AWS::S3::Bucket": "arn:aws:s3:::{name}",
}


def definitions(template: dict[str, Any], others: dict[str, dict[str, Any]] | None = None) -> dict[str, dict[str, Any]]:
    """
    Every state machine of a template by its logical id, as a definition that an interpreter takes.

    A function's name is its logical id, so that who runs the definition can tell them apart; any version's number is 1.

    Parameters
    ----------
    others
        The other templates of the app by part, where exports that this one imports are.
    """
    return {
        name: json.loads(resolved(resource["Properties"]["DefinitionString"], template, others))
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::StepFunctions::StateMachine"
    }


def resolved(value: Any, template: dict[str, Any], others: dict[str, dict[str, Any]] | None = None) -> Any:
    """`value` with its intrinsic functions replaced by what a deployment in us-east-1 might give."""
    match value:
        case {"Fn::Join": [separator, pieces]}:
            return separator.join(str(resolved(piece, template, others)) for piece in pieces)
        case {"Ref": name}:
            return PSEUDO.get(name) or _ref(template["Resources"], name)
        case {"Fn::GetAtt": [name, "Arn"]}:
            return _arn(template["Resources"], name)
        case {"Fn::GetAtt": [name, attribute]}:
            return f"{name}-{attribute}"
        case {"Fn::FindInMap": [table, key, column]}:
            return template["Mappings"][table][resolved(key, template, others)][column]
        case {"Fn::Sub": str(text)}:
            for name, known in PSEUDO.items():
                text = text.replace(f"${{{name}}}", known)
            return text
        case {"Fn::Select": [index, items]}:
            return resolved(items, template, others)[int(index)]
        case {"Fn::Split": [separator, text]}:
            return str(resolved(text, template, others)).split(separator)
        case {"Fn::ImportValue": name}:
            return _imported(name, others or {})
        case dict():
            return {key: resolved(item, template, others) for key, item in value.items()}
        case list():
            return [resolved(item, template, others) for item in value]
        case _:
            return value


def _ref(resources: dict[str, Any], name: str) -> str:
    # A state machine's, a topic's and a managed policy's Ref is its ARN, a version's the function's with its number.
    if resources[name]["Type"] == "AWS::Lambda::Version":
        return f"{_arn(resources, resources[name]['Properties']['FunctionName']['Ref'])}:1"
    if resources[name]["Type"] in ("AWS::StepFunctions::StateMachine", "AWS::SNS::Topic"):
        return _arn(resources, name)
    return name


def _arn(resources: dict[str, Any], name: str) -> str:
    pattern = ARNS.get(resources[name]["Type"], "arn:aws:unknown:{region}:{account}:{name}")
    return pattern.format(region=REGION, account=ACCOUNT, name=name)


def _imported(name: str, others: dict[str, dict[str, Any]]) -> Any:
    for template in others.values():
        for output in template.get("Outputs", {}).values():
            if output.get("Export", {}).get("Name") == name:
                return resolved(output["Value"], template, others)
    raise KeyError(f"no template exports {name}")
