"""
CloudWatch's three wire protocols, as one: parameters in, a result or an error out.

botocore speaks CBOR, older SDKs and the AWS CLI may speak JSON or the Query protocol; botocore's own service model
says how each member is written.
"""

from __future__ import annotations

import functools
import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl
from xml.etree.ElementTree import Element, SubElement, tostring

import botocore.session
from botocore.model import OperationModel, ServiceModel, Shape
from botocore.utils import parse_timestamp
from botocore.validate import ParamValidator

from localcloud.cloudwatch import cbor
from localcloud.context import Request, Response

_EMPTY_MAP = b"\xa0"
_NAMESPACE = "http://monitoring.amazonaws.com/doc/2010-08-01/"


class CloudWatchError(Exception):
    """An answer that is an error: `code` as AWS's API reference names it."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


@functools.cache
def model() -> ServiceModel:
    """botocore's description of CloudWatch."""
    return botocore.session.get_session().get_service_model("cloudwatch")


def protocol_of(request: Request) -> str:
    """`cbor`, `json` or `query`."""
    if "cbor" in request.headers.get("content-type", "") or "cbor" in request.headers.get("smithy-protocol", ""):
        return "cbor"
    return "json" if request.headers.get("x-amz-target") else "query"


def action_of(request: Request) -> str:
    """The operation's name; empty when there is none."""
    if request.headers.get("x-amz-target"):
        return request.action
    if "/operation/" in request.path:
        return request.path.rpartition("/operation/")[2].strip("/")
    form = dict(parse_qsl(request.body.decode(errors="replace"), keep_blank_values=True))
    return form.get("Action") or (request.query.get("Action") or [""])[0]


def parse(request: Request, operation: OperationModel) -> dict[str, Any]:
    """
    The parameters, timestamps as aware datetimes, checked against botocore's shapes.

    Raises
    ------
    CloudWatchError
        A member is missing, unknown, or of the wrong type.
    """
    protocol = protocol_of(request)
    shape = operation.input_shape
    if shape is None:
        return {}
    if protocol == "query":
        form = dict(parse_qsl(request.body.decode(errors="replace"), keep_blank_values=True))
        form |= {name: values[0] for name, values in request.query.items() if values}
        parsed = _from_form(shape, form, "")
    else:
        try:
            parsed = cbor.decode(request.body or _EMPTY_MAP) if protocol == "cbor" else request.json()
        except ValueError as error:
            raise CloudWatchError("MalformedInput", f"the body is no {protocol}: {error}") from error
    params: dict[str, Any] = _typed(shape, parsed or {})
    report = ParamValidator().validate(params, shape)
    if report.has_errors():
        raise CloudWatchError("ValidationError", report.generate_report())
    return params


def _from_form(shape: Shape, form: Mapping[str, str], prefix: str) -> Any:
    """What the Query protocol wrote under `prefix`, or None."""
    if shape.type_name == "structure":
        dot = f"{prefix}." if prefix else ""
        found = {name: _from_form(member, form, dot + name) for name, member in shape.members.items()}
        return {name: value for name, value in found.items() if value is not None} or None
    if shape.type_name == "list":
        items: list[Any] = []
        while (item := _from_form(shape.member, form, f"{prefix}.member.{len(items) + 1}")) is not None:
            items.append(item)
        return items or None
    text = form.get(prefix)
    if text is None:
        return None
    kind = shape.type_name
    if kind in ("integer", "long"):
        return int(text)
    if kind in ("double", "float"):
        return float(text)
    return text == "true" if kind == "boolean" else text


def _typed(shape: Shape, value: Any) -> Any:
    if shape.type_name == "structure" and isinstance(value, dict):
        return {
            name: _typed(shape.members[name], member) if name in shape.members else member
            for name, member in value.items()
            if member is not None
        }
    if shape.type_name == "list" and isinstance(value, (list, tuple)):
        return [_typed(shape.member, item) for item in value]
    if shape.type_name == "timestamp":
        moment = value if isinstance(value, datetime) else parse_timestamp(value)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    if shape.type_name in ("double", "float") and isinstance(value, int):
        return float(value)
    return value


def answer(request: Request, operation: OperationModel, result: Mapping[str, Any]) -> Response:
    """`result` in the protocol of `request`; members that are None are left out."""
    protocol = protocol_of(request)
    shape = operation.output_shape
    members = _plain(shape, dict(result), protocol) if shape is not None else {}
    if protocol == "cbor":
        headers = {"Content-Type": "application/cbor", "smithy-protocol": "rpc-v2-cbor"}
        return Response(200, cbor.encode(members), headers)
    if protocol == "json":
        return Response(200, json.dumps(members).encode(), {"Content-Type": "application/x-amz-json-1.0"})
    root = Element(f"{operation.name}Response", xmlns=_NAMESPACE)
    if shape is not None:
        _to_xml(SubElement(root, f"{operation.name}Result"), members)
    SubElement(SubElement(root, "ResponseMetadata"), "RequestId").text = str(uuid.uuid4())
    return Response(200, tostring(root, xml_declaration=True, encoding="utf-8"), {"Content-Type": "text/xml"})


def _plain(shape: Shape, value: Any, protocol: str) -> Any:
    """Only the shape's members, with timestamps as the protocol writes them."""
    if shape.type_name == "structure":
        known = {name: member for name, member in value.items() if name in shape.members and member is not None}
        return {name: _plain(shape.members[name], member, protocol) for name, member in known.items()}
    if shape.type_name == "list":
        return [_plain(shape.member, item, protocol) for item in value]
    if shape.type_name == "timestamp":
        moment = value.timestamp() if isinstance(value, datetime) else float(value)
        if protocol == "cbor":
            return cbor.Timestamp(moment)
        if protocol == "json":
            return moment
        return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return value


def _to_xml(parent: Element, value: Any) -> None:
    if isinstance(value, dict):
        for name, member in value.items():
            _to_xml(SubElement(parent, name), member)
    elif isinstance(value, list):
        for item in value:
            _to_xml(SubElement(parent, "member"), item)
    else:
        parent.text = str(value).lower() if isinstance(value, bool) else str(value)


def answer_error(request: Request, error: CloudWatchError) -> Response:
    """`error` in the protocol of `request`."""
    protocol, message = protocol_of(request), str(error)
    if protocol == "cbor":
        headers = {"Content-Type": "application/cbor", "smithy-protocol": "rpc-v2-cbor"}
        query_error = {"x-amzn-query-error": f"{error.code};Sender"}
        return Response(error.status, cbor.encode({"__type": error.code, "message": message}), headers | query_error)
    if protocol == "json":
        return Response.of_error(error.code, message, status=error.status)
    root = Element("ErrorResponse", xmlns=_NAMESPACE)
    detail = SubElement(root, "Error")
    _to_xml(detail, {"Type": "Sender", "Code": error.code, "Message": message})
    SubElement(root, "RequestId").text = str(uuid.uuid4())
    return Response(error.status, tostring(root), {"Content-Type": "text/xml"})
