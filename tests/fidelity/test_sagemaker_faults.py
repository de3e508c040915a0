"""What goes wrong on AWS now and then, at will (statuses and codes: SageMaker API reference, read 2026-12)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localcloud.sagemaker.faults import FILE
from tests.fidelity.serving import IMAGE, Lab, running, until


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with running(waits=60) as lab:
        for name in ("champion", "challenger"):
            lab.model(name)
        lab.config("one", {"blue": ("champion", 1.0)})
        lab.config("two", {"blue": ("champion", 1.0), "green": ("challenger", 0.0)})
        yield lab


def inject(lab: Lab, *faults: dict[str, Any]) -> None:
    (lab.server.state_dir / FILE).write_text(json.dumps(list(faults)))


def described(lab: Lab, name: str, *statuses: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = lab.sagemaker.describe_endpoint(EndpointName=name)
        return found if found["EndpointStatus"] in statuses else None

    return until(look)  # type: ignore[return-value]


def test_a_quota_refuses_an_endpoint_once(lab: Lab) -> None:
    quota = "The account-level service limit 'ml.m5.large for endpoint usage' is 0 Instances"
    inject(lab, {"operation": "CreateEndpoint", "error": "ResourceLimitExceeded", "message": quota})
    with pytest.raises(lab.sagemaker.exceptions.ResourceLimitExceeded, match="is 0 Instances"):
        lab.sagemaker.create_endpoint(EndpointName="limited", EndpointConfigName="one")
    lab.endpoint("limited", "one")


def test_an_endpoint_that_failed_takes_nothing_but_its_deletion(lab: Lab) -> None:
    """DescribeEndpoint: "DeleteEndpoint is the only operation that can be performed on a failed endpoint"."""
    inject(lab, {"operation": "CreateEndpoint", "outcome": "Failed", "message": "no ping"})
    lab.sagemaker.create_endpoint(EndpointName="sick", EndpointConfigName="one")
    assert described(lab, "sick", "Failed")["FailureReason"] == "no ping"
    with pytest.raises(ClientError, match="must be InService"):
        lab.sagemaker.update_endpoint(EndpointName="sick", EndpointConfigName="two")
    lab.sagemaker.delete_endpoint(EndpointName="sick")
    until(lambda: "sick" not in [one["EndpointName"] for one in lab.sagemaker.list_endpoints()["Endpoints"]])
    lab.endpoint("sick", "one")


def test_an_update_whose_rollback_fails_goes_on_serving_and_takes_no_change(lab: Lab) -> None:
    lab.endpoint("stuck", "one")
    inject(lab, {"operation": "UpdateEndpoint", "outcome": "UpdateRollbackFailed", "message": "no capacity"})
    lab.sagemaker.update_endpoint(EndpointName="stuck", EndpointConfigName="two")
    found = described(lab, "stuck", "UpdateRollbackFailed")
    assert (found["EndpointConfigName"], found["FailureReason"]) == ("one", "no capacity")
    assert lab.ask("stuck")["said"]["model"] == "champion"
    with pytest.raises(ClientError, match="must be InService"):
        lab.sagemaker.update_endpoint(EndpointName="stuck", EndpointConfigName="two")


def test_a_variant_refuses_as_often_as_it_is_told_to(lab: Lab) -> None:
    lab.endpoint("picky", "two")
    inject(
        lab,
        {
            "operation": "InvokeEndpoint",
            "variant": "green",
            "status": 400,
            "message": "row 0: season is missing",
            "times": 2,
        },
    )
    for _ in range(2):
        with pytest.raises(lab.sagemaker_runtime.exceptions.ModelError, match="season is missing"):
            lab.ask("picky", TargetVariant="green")
        assert lab.ask("picky", TargetVariant="blue")["said"]["model"] == "champion"
    assert lab.ask("picky", TargetVariant="green")["said"]["model"] == "challenger"


def test_a_job_without_capacity_fails_and_says_so(lab: Lab) -> None:
    message = "CapacityError: Unable to provision requested ML compute capacity."
    inject(lab, {"operation": "CreateProcessingJob", "outcome": "Failed", "message": message})
    lab.sagemaker.create_processing_job(
        ProcessingJobName="starved",
        RoleArn=lab.role,
        AppSpecification={"ImageUri": IMAGE, "ContainerEntrypoint": ["python3", "-c", "print(1)"]},
        ProcessingResources={"ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5}},
    )

    def failed() -> Any:
        job = lab.sagemaker.describe_processing_job(ProcessingJobName="starved")
        return job if job["ProcessingJobStatus"] == "Failed" else None

    assert until(failed)["FailureReason"] == message
