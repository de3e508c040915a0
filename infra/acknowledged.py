"""cdk-nag findings that stay, each with the reason why; no acknowledgement covers more than one finding."""

from __future__ import annotations

import json
import re
from typing import Any

import aws_cdk as cdk
from constructs import IConstruct

__all__ = ["acknowledge", "nag_name"]

PACK = "AwsSolutions::"
_TOKEN = re.compile(r"(\$\{Token\[[^\]]*\]\})")


def acknowledge(where: IConstruct, finding: str, reason: str, *, subject: str = "") -> None:
    """
    Acknowledge one finding on one construct (and on what it contains).

    Parameters
    ----------
    where
        The construct that the finding is on, or its nearest parent.
    finding
        The rule's id, with `{}` where it names a resource: `AwsSolutions-IAM5[Resource::{}]`.
    reason
        What a security reviewer should know, in a sentence.
    subject
        What stands for `{}`, tokens included, as it is in the policy.
    """
    if len(reason.split()) < 6:
        raise ValueError(f"an acknowledgement of {finding} must say why in a sentence. Got {reason!r} instead.")
    identity = PACK + finding.replace("{}", nag_name(where, subject))
    cdk.Validations.of(where).acknowledge(cdk.Acknowledgment(id=identity, reason=reason))


def nag_name(where: IConstruct, value: str) -> str:
    """
    What cdk-nag calls a resource: text, with references as <LogicalId.Attribute> and imports by their export's name.

    cdk-nag looks at stacks after references between them have become imports, hence exports are settled here.
    """
    stack = cdk.Stack.of(where)
    return "".join(_piece(stack, piece) for piece in _TOKEN.split(value))


def _piece(stack: cdk.Stack, piece: str) -> str:
    if not _TOKEN.fullmatch(piece):
        return piece
    token: Any = cdk.Tokenization.reverse_string(piece).first_token
    if cdk.Reference.is_reference(token):
        producer = cdk.Stack.of(token.target)
        if producer.node.path != stack.node.path:
            return _flat(stack.resolve(producer.export_value(piece)))
    return _flat(stack.resolve(piece))


def _flat(resolved: Any) -> str:
    match resolved:
        case str():
            return resolved
        case {"Fn::Join": [separator, pieces]}:
            return str(separator).join(_flat(piece) for piece in pieces)
        case {"Fn::Sub": str(template)}:
            return template.replace("${", "<").replace("}", ">")
        case {"Ref": name}:
            return f"<{name}>"
        case {"Fn::GetAtt": [name, attribute]}:
            return f"<{name}.{attribute}>"
        case {"Fn::ImportValue": name}:
            return _flat(name)
        case _:
            return json.dumps(resolved, separators=(",", ":"))
