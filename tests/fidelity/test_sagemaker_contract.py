"""
What SageMaker promises a container, as functions.

Fact (2026-11-24): github.com/aws/sagemaker-training-toolkit, README and ENVIRONMENT_VARIABLES.md; SageMaker developer
guide, "How Amazon SageMaker AI provides training information" and "Data capture".
"""

from __future__ import annotations

import doctest
import importlib
import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localcloud.sagemaker import images, shapes, toolkit
from localcloud.sagemaker.capture import Exchange, line
from localcloud.sagemaker.errors import ValidationException
from localcloud.sagemaker.invocation import choose

UNHURRIED = settings(deadline=None)

HEADERS = {"CsvContentTypes": ["text/csv"], "JsonContentTypes": ["application/json"]}
BOTH = [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}]


@pytest.mark.parametrize("name", ["capture", "images", "invocation", "shapes", "storage", "toolkit"])
def test_the_examples_in_sagemakers_modules_hold(name: str) -> None:
    assert doctest.testmod(importlib.import_module(f"localcloud.sagemaker.{name}")).failed == 0


def test_hyperparameters_become_arguments_and_variables() -> None:
    """`--name value`, `-c value` for one letter; SM_HPS and SM_HP_NAME without SageMaker's own hyperparameters."""
    raw = {"trees": "10", "c": "0.5", "name": "a b", "sagemaker_program": "train.py", "list": "[1, 2]"}
    user, own = toolkit.split_hyperparameters(raw)
    assert toolkit.arguments(user) == ["-c", "0.5", "--list", "[1, 2]", "--name", "a b", "--trees", "10"]
    channels: dict[str, dict[str, str]] = {"train": {}, "eval": {}}
    found = toolkit.TrainingRun(user, own, Path("/j"), "job", "arn", channels, "us-east-1").variables()
    assert json.loads(found["SM_HPS"]) == {"trees": 10, "c": 0.5, "name": "a b", "list": [1, 2]}
    wanted = {
        "SM_MODEL_DIR": "/j/model", "SM_CHANNEL_TRAIN": "/j/input/data/train", "SM_CHANNELS": '["eval", "train"]',
        "SM_OUTPUT_DATA_DIR": "/j/output/data", "SM_HP_TREES": "10", "SM_USER_ENTRY_POINT": "train.py",
        "SM_MODULE_NAME": "train", "TRAINING_JOB_NAME": "job", "SAGEMAKER_BASE_DIR": "/j", "SM_NUM_GPUS": "0",
    }  # fmt: skip
    assert {name: found[name] for name in wanted} == wanted


@UNHURRIED
@given(st.dictionaries(st.from_regex(r"[a-z]\w{0,8}", fullmatch=True), st.text(max_size=8), max_size=6))
def test_every_hyperparameter_of_the_user_reaches_the_program_once(raw: dict[str, str]) -> None:
    user, own = toolkit.split_hyperparameters(raw)
    assert sorted([*user, *own]) == sorted(raw)
    arguments = toolkit.arguments(user)
    assert [name.lstrip("-") for name in arguments[::2]] == sorted(user)
    assert all(isinstance(part, str) for part in arguments)


def exchange(body: bytes = b"1,2", kind: str = "text/csv", inference_id: str | None = "i-1") -> Exchange:
    at = datetime(2026, 11, 24, 9, 5, 7, tzinfo=UTC)
    return Exchange("e", "blue", body, kind, b"[0.5]", "application/json", inference_id, None, at)


def test_a_captured_line_has_awss_members() -> None:
    """Developer guide, "Capture data from real-time endpoint", the example of captured data (2026-11-24)."""
    config = {"CaptureOptions": BOTH, "CaptureContentTypeHeader": HEADERS}
    assert json.loads(line(exchange(), config, "e-1")) == {
        "captureData": {
            "endpointInput": {"observedContentType": "text/csv", "mode": "INPUT", "data": "1,2", "encoding": "CSV"},
            "endpointOutput": {
                "observedContentType": "application/json", "mode": "OUTPUT", "data": "[0.5]", "encoding": "JSON",
            },
        },
        "eventMetadata": {"eventId": "e-1", "inferenceId": "i-1", "inferenceTime": "2026-11-24T09:05:07Z"},
        "eventVersion": "0",
    }  # fmt: skip


def test_content_that_no_header_names_is_captured_as_base64() -> None:
    """
    API reference, DataCaptureConfig, CaptureContentTypeHeader (2026-11-24): without headers SageMaker encodes as
    base64. A template that forgets them gets files that read otherwise than expected.
    """
    bare = json.loads(line(exchange(), {"CaptureOptions": BOTH}, "e"))["captureData"]["endpointInput"]
    assert (bare["encoding"], bare["data"]) == ("BASE64", "MSwy")
    other = json.loads(
        line(exchange(b"\xff", "image/png"), {"CaptureOptions": BOTH, "CaptureContentTypeHeader": HEADERS}, "e")
    )
    assert other["captureData"]["endpointInput"]["encoding"] == "BASE64"


def test_only_the_directions_asked_for_are_captured() -> None:
    """API reference, CaptureOption, CaptureMode (2026-11-24)."""
    assert list(json.loads(line(exchange(), {"CaptureOptions": BOTH[:1]}, "e"))["captureData"]) == ["endpointInput"]
    assert list(json.loads(line(exchange(), {"CaptureOptions": BOTH[1:]}, "e"))["captureData"]) == ["endpointOutput"]


@UNHURRIED
@given(st.dictionaries(st.sampled_from("abcd"), st.floats(0, 10), min_size=1), st.floats(0, 1, exclude_max=True))
def test_a_weight_of_zero_is_never_chosen(weights: dict[str, float], draw: float) -> None:
    chosen = choose(weights, draw=draw)
    assert (chosen == "") == (not any(weights.values()))
    assert not chosen or weights[chosen] > 0


@UNHURRIED
@given(st.lists(st.integers(0, 9), min_size=1, max_size=5))
def test_shares_are_weights_over_their_sum(weights: list[int]) -> None:
    named = {str(index): float(weight) for index, weight in enumerate(weights)}
    total = sum(weights)
    draws = Counter(choose(named, draw=(step + 0.5) / total) for step in range(total))
    assert {name: draws[name] for name in named} == {name: int(weight) for name, weight in named.items()}


@pytest.mark.parametrize("image", ["", "683313688378.dkr.ecr.us-east-1.amazonaws.com/xgboost:1", "python:3.12"])
def test_another_image_is_refused_with_the_one_that_is_understood(image: str) -> None:
    with pytest.raises(ValidationException, match="sagemaker-scikit-learn"):
        images.check(image)


def test_a_request_is_held_to_the_apis_patterns_lengths_and_enumerations() -> None:
    """ValidationException, "n validation errors detected" (API reference, Common errors, 2026-11-24)."""
    operation = shapes.model().operation_model("CreateModelPackageGroup")
    with pytest.raises(ValidationException, match=r"'modelPackageGroupName' failed to satisfy constraint: .*pattern"):
        shapes.check(operation, {"ModelPackageGroupName": "no_underscore"})
    with pytest.raises(ValidationException, match="length less than or equal to 63"):
        shapes.check(operation, {"ModelPackageGroupName": "a" * 64})
    with pytest.raises(ValidationException, match="Missing required parameter"):
        shapes.check(operation, {})
    update = shapes.model().operation_model("UpdateModelPackage")
    with pytest.raises(ValidationException, match="enum value set"):
        shapes.check(update, {"ModelPackageArn": "arn:aws:sagemaker:us-east-1:123456789012:model-package/g/1",
                              "ModelApprovalStatus": "Maybe"})  # fmt: skip
