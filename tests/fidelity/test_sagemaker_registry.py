"""
The model registry, models, tags, and CloudFormation's model package group.

Facts (2026-11-24): SageMaker API reference, CreateModelPackage, UpdateModelPackage, DeleteModelPackageGroup,
CreateModel; developer guide, "Events that SageMaker sends to EventBridge"; CloudFormation reference,
AWS::SageMaker::ModelPackageGroup.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.fidelity.serving import IMAGE as IMAGE
from tests.fidelity.serving import INFERENCE, Lab, running, tar_gz
from tests.waiting import until


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with running(waits=60) as lab:
        assert lab.role
        lab.put("models/m.tar.gz", tar_gz({"code/inference.py": INFERENCE, "name.txt": "m"}))
        yield lab


def specification() -> dict[str, Any]:
    container = {"Image": IMAGE, "ModelDataUrl": "s3://lake/models/m.tar.gz"}
    return {
        "Containers": [container], "SupportedContentTypes": ["text/csv"], "SupportedResponseMIMETypes": ["text/csv"],
    }  # fmt: skip


def register(lab: Lab, group: str, **rest: Any) -> str:
    answer = lab.sagemaker.create_model_package(
        ModelPackageGroupName=group, InferenceSpecification=specification(), **rest
    )
    return str(answer["ModelPackageArn"])


def group(lab: Lab, name: str) -> str:
    lab.sagemaker.create_model_package_group(ModelPackageGroupName=name, Tags=[{"Key": "loop", "Value": name}])
    return name


def test_a_client_token_makes_registration_idempotent(lab: Lab) -> None:
    """CreateModelPackage, ClientToken; moto 5.2.5 makes a second package."""
    name = group(lab, "idempotent")
    first = register(lab, name, ClientToken="run-1")
    assert register(lab, name, ClientToken="run-1") == first
    assert register(lab, name, ClientToken="run-2") != first
    assert len(lab.sagemaker.list_model_packages(ModelPackageGroupName=name)["ModelPackageSummaryList"]) == 2


def test_versions_are_numbered_and_a_number_is_not_given_twice(lab: Lab) -> None:
    name = group(lab, "numbered")
    first, second = register(lab, name), register(lab, name)
    assert (first.rpartition("/")[2], second.rpartition("/")[2]) == ("1", "2")
    lab.sagemaker.delete_model_package(ModelPackageName=second)
    assert register(lab, name).endswith("/3")


def test_an_approval_is_an_event(lab: Lab) -> None:
    """ "SageMaker Model Package State Change" with ModelApprovalStatus; moto 5.2.5 sends none."""
    name = group(lab, "approved")
    wanted = {
        "source": ["aws.sagemaker"],
        "detail-type": ["SageMaker Model Package State Change"],
        "detail": {"ModelPackageGroupName": [name]},
    }
    events = lab.queue_for_events("package-events", wanted)
    arn = register(lab, name, CustomerMetadataProperties={"a": "1", "b": "2"})
    lab.sagemaker.update_model_package(
        ModelPackageArn=arn, ModelApprovalStatus="Approved", ApprovalDescription="looks well",
        CustomerMetadataProperties={"c": "3"}, CustomerMetadataPropertiesToRemove=["a"],
    )  # fmt: skip
    until(lambda: len(events()) >= 2)
    by_status = {event["detail"]["ModelApprovalStatus"]: event for event in events()}
    assert sorted(by_status) == ["Approved", "PendingManualApproval"]
    detail = by_status["Approved"]["detail"]
    assert (detail["ModelPackageArn"], detail["ModelPackageVersion"], detail["ModelPackageStatus"]) == (
        arn,
        1,
        "Completed",
    )
    package = lab.sagemaker.describe_model_package(ModelPackageName=arn)
    assert (package["ModelApprovalStatus"], package["ApprovalDescription"]) == ("Approved", "looks well")
    assert package["CustomerMetadataProperties"] == {"b": "2", "c": "3"}


def test_packages_are_listed_by_group_and_approval(lab: Lab) -> None:
    one, other = group(lab, "listed-one"), group(lab, "listed-other")
    arns = [register(lab, one, ModelApprovalStatus=status) for status in ("Approved", "Rejected", "Approved")]
    register(lab, other, ModelApprovalStatus="Approved")
    found = lab.sagemaker.list_model_packages(
        ModelPackageGroupName=one, ModelApprovalStatus="Approved", SortBy="CreationTime", SortOrder="Descending"
    )["ModelPackageSummaryList"]
    assert [package["ModelPackageArn"] for package in found] == [arns[2], arns[0]]


def test_a_group_with_packages_is_not_deleted(lab: Lab) -> None:
    """ConflictException (API reference, DeleteModelPackageGroup, Errors)."""
    name = group(lab, "full")
    arn = register(lab, name)
    with pytest.raises(ClientError, match="ConflictException"):
        lab.sagemaker.delete_model_package_group(ModelPackageGroupName=name)
    lab.sagemaker.delete_model_package(ModelPackageName=arn)
    lab.sagemaker.delete_model_package_group(ModelPackageGroupName=name)
    with pytest.raises(ClientError, match="does not exist"):
        lab.sagemaker.describe_model_package_group(ModelPackageGroupName=name)


def test_tags_belong_to_what_exists(lab: Lab) -> None:
    name = group(lab, "tagged")
    arn = lab.sagemaker.describe_model_package_group(ModelPackageGroupName=name)["ModelPackageGroupArn"]
    lab.sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "cost", "Value": "1"}])
    lab.sagemaker.delete_tags(ResourceArn=arn, TagKeys=["loop"])
    assert lab.sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "cost", "Value": "1"}]
    with pytest.raises(ClientError, match="ValidationException"):
        lab.sagemaker.add_tags(ResourceArn=arn + "-not", Tags=[])


def test_a_model_needs_an_artifact_that_its_role_can_read(lab: Lab) -> None:
    """CreateModel reads the artifact with ExecutionRoleArn: "Could not access model data at ..."."""
    powerless = lab.make_role("no-s3", ["logs:*"])
    for role, key in ((lab.role, "models/none.tar.gz"), (powerless, "models/m.tar.gz")):
        with pytest.raises(ClientError, match="Could not access model data"):
            lab.sagemaker.create_model(
                ModelName="unreadable", ExecutionRoleArn=role,
                PrimaryContainer={"Image": IMAGE, "ModelDataUrl": f"s3://lake/{key}"},
            )  # fmt: skip


def test_a_model_of_a_package_needs_approval_and_takes_the_packages_container(lab: Lab) -> None:
    name = group(lab, "deployable")
    arn = register(lab, name)
    model = {"ModelName": "of-package", "ExecutionRoleArn": lab.role, "PrimaryContainer": {"ModelPackageName": arn}}
    with pytest.raises(ClientError, match="must be Approved"):
        lab.sagemaker.create_model(**model)
    lab.sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")
    lab.sagemaker.create_model(**model)
    with pytest.raises(ClientError, match='Cannot create already existing model "arn:aws:sagemaker'):
        lab.sagemaker.create_model(**model)
    assert lab.sagemaker.describe_model(ModelName="of-package")["PrimaryContainer"] == {"ModelPackageName": arn}
    lab.sagemaker.delete_model(ModelName="of-package")
    with pytest.raises(ClientError, match='Could not find model "arn:aws:sagemaker'):
        lab.sagemaker.describe_model(ModelName="of-package")


def test_an_operation_that_is_not_imitated_says_so(lab: Lab) -> None:
    with pytest.raises(ClientError, match="not part of the local cloud: ListNotebookInstances"):
        lab.sagemaker.list_notebook_instances()


def test_a_stack_makes_and_removes_a_group(lab: Lab) -> None:
    """Ref is the ARN; a group that still has packages keeps the stack from being deleted."""
    group_ = {"Type": "AWS::SageMaker::ModelPackageGroup", "Properties": {"ModelPackageGroupName": "of-stack"}}
    template = {"Resources": {"Group": group_}, "Outputs": {"Ref": {"Value": {"Ref": "Group"}}}}
    lab.cloudformation.create_stack(StackName="registry", TemplateBody=json.dumps(template))
    lab.cloudformation.get_waiter("stack_create_complete").wait(StackName="registry", WaiterConfig={"Delay": 0.2})
    (stack,) = lab.cloudformation.describe_stacks(StackName="registry")["Stacks"]
    described = lab.sagemaker.describe_model_package_group(ModelPackageGroupName="of-stack")
    assert stack["Outputs"][0]["OutputValue"] == described["ModelPackageGroupArn"]
    lab.cloudformation.delete_stack(StackName="registry")
    lab.cloudformation.get_waiter("stack_delete_complete").wait(StackName="registry", WaiterConfig={"Delay": 0.2})
    with pytest.raises(ClientError, match="does not exist"):
        lab.sagemaker.describe_model_package_group(ModelPackageGroupName="of-stack")


def test_creating_with_tags_needs_the_permission_to_tag(lab: Lab) -> None:
    """sagemaker:AddTags besides the Create action (service authorization reference, Amazon SageMaker AI)."""
    lab.iam.create_user(UserName="registrar")
    keys = lab.iam.create_access_key(UserName="registrar")["AccessKey"]
    client = lab.client("sagemaker", access_key=keys["AccessKeyId"], secret_key=keys["SecretAccessKey"])

    def allow(*actions: str) -> None:
        document = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
        lab.iam.put_user_policy(
            UserName="registrar", PolicyName="it",
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [document]}),
        )  # fmt: skip

    tagged = {"ModelPackageGroupName": "by-registrar", "Tags": [{"Key": "a", "Value": "b"}]}
    allow("sagemaker:CreateModelPackageGroup")
    with pytest.raises(ClientError, match=r"AccessDenied.*sagemaker:AddTags"):
        client.create_model_package_group(**tagged)
    allow("sagemaker:CreateModelPackageGroup", "sagemaker:AddTags")
    client.create_model_package_group(**tagged)
