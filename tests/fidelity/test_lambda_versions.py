"""Published versions of functions: what they freeze, who may call them, when they go."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.fidelity.cloud import ACCOUNT, REGION, Cloud, allow, fresh, task, until, zipped

# Says which code and which environment it is, and what Lambda says of it.
TELLING = """
import os
def handler(event, context):
    return {{"code": {code!r}, "setting": os.environ.get("SETTING"), "version": context.function_version,
            "variable": os.environ["AWS_LAMBDA_FUNCTION_VERSION"], "arn": context.invoked_function_arn}}
"""
SLOW = """
import time
def handler(event, context):
    time.sleep(1.5)
    return {code!r}
"""


def telling(cloud: Cloud, code: str, setting: str) -> str:
    return cloud.function(TELLING.format(code=code), Environment={"Variables": {"SETTING": setting}})


def change(cloud: Cloud, name: str, code: str, setting: str) -> None:
    """New code and a new environment for the unpublished function."""
    client = cloud.client("lambda")
    client.update_function_code(FunctionName=name, ZipFile=zipped(index=TELLING.format(code=code)))
    client.update_function_configuration(FunctionName=name, Environment={"Variables": {"SETTING": setting}})


def publish(cloud: Cloud, name: str) -> str:
    return str(cloud.client("lambda").publish_version(FunctionName=name)["Version"])


def answer(cloud: Cloud, name: str) -> tuple[str, str, str]:
    body, _ = cloud.invoke(name)
    return body["code"], body["setting"], body["version"]


def arn(name: str, version: str | None = None) -> str:
    return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}" + (f":{version}" if version else "")


def test_a_version_keeps_the_code_and_the_environment_that_it_was_published_with(cloud: Cloud) -> None:
    """docs.aws.amazon.com/lambda/latest/dg/configuration-versions.html, 2026-11: "Lambda locks the code and most of the
    settings"; the unpublished function is $LATEST."""
    name = telling(cloud, "old", "a")
    one = publish(cloud, name)
    assert answer(cloud, f"{name}:{one}") == ("old", "a", "1")

    change(cloud, name, "new", "b")
    two = publish(cloud, name)
    change(cloud, name, "newest", "c")

    assert answer(cloud, arn(name, one)) == ("old", "a", "1")
    assert answer(cloud, arn(name, two)) == ("new", "b", "2")
    assert answer(cloud, name) == ("newest", "c", "$LATEST")


def test_a_function_knows_which_version_runs_and_how_it_was_called(cloud: Cloud) -> None:
    """docs.aws.amazon.com/lambda/latest/dg/python-context.html, 2026-11."""
    name = telling(cloud, "x", "a")
    publish(cloud, name)
    versioned, _ = cloud.invoke(arn(name, "1"))
    latest, _ = cloud.invoke(name)
    assert (versioned["version"], versioned["variable"], versioned["arn"]) == ("1", "1", arn(name, "1"))
    assert (latest["version"], latest["variable"], latest["arn"]) == ("$LATEST", "$LATEST", arn(name))


def test_a_call_of_a_version_goes_on_while_the_function_is_changed(cloud: Cloud) -> None:
    name = cloud.function(SLOW.format(code="old"))
    publish(cloud, name)
    with ThreadPoolExecutor(1) as pool:
        under_way = pool.submit(cloud.invoke, f"{name}:1")
        time.sleep(0.5)
        cloud.client("lambda").update_function_code(FunctionName=name, ZipFile=zipped(index=SLOW.format(code="new")))
        assert under_way.result() == ("old", None)
    assert cloud.invoke(name) == ("new", None)


def test_what_did_not_change_is_not_published_again(cloud: Cloud) -> None:
    """API_PublishVersion.html, 2026-11: a version is not published if nothing changed since the last one."""
    name = telling(cloud, "x", "a")
    assert [publish(cloud, name), publish(cloud, name)] == ["1", "1"]
    change(cloud, name, "y", "a")
    assert publish(cloud, name) == "2"


def test_a_permission_is_for_the_arn_that_is_called(cloud: Cloud) -> None:
    """docs.aws.amazon.com/lambda/latest/dg/lambda-api-permissions-ref.html, 2026-11: a version's ARN is a resource of
    its own, of which the function's ARN says nothing, and neither says the reverse."""
    name = telling(cloud, "x", "a")
    publish(cloud, name)
    unqualified = cloud.as_role(cloud.role(allow("lambda:InvokeFunction", resource=arn(name))), "lambda")
    versions = cloud.as_role(cloud.role(allow("lambda:InvokeFunction", resource=f"{arn(name)}:*")), "lambda")

    assert unqualified.invoke(FunctionName=name)["StatusCode"] == 200
    assert versions.invoke(FunctionName=arn(name, "1"))["StatusCode"] == 200
    for client, called in ((unqualified, arn(name, "1")), (versions, name)):
        with pytest.raises(ClientError) as refused:
            client.invoke(FunctionName=called)
        assert refused.value.response["Error"]["Code"] == "AccessDeniedException"


def test_a_state_machine_calls_the_version_that_its_definition_names_as_its_role(cloud: Cloud) -> None:
    name = telling(cloud, "old", "a")
    publish(cloud, name)
    change(cloud, name, "new", "b")
    role = cloud.role(allow("lambda:InvokeFunction", resource=f"{arn(name)}:*"), service="states")
    done = cloud.run(task(arn(name, "1")), role=role)
    assert (done.status, done.output["code"], done.output["version"]) == ("SUCCEEDED", "old", "1")
    assert cloud.run(task(arn(name)), role=role).status == "FAILED"


def test_an_execution_under_way_keeps_the_definition_that_it_began_with(cloud: Cloud) -> None:
    """API_UpdateStateMachine.html, 2026-11: running executions continue to use the previous definition and role;
    API_DescribeStateMachineForExecution.html says which. ministack 1.5.33 gives the newest."""
    name = telling(cloud, "old", "a")
    publish(cloud, name)

    def waiting(version: str) -> dict[str, Any]:
        states = {
            "Wait": {"Type": "Wait", "Seconds": 120, "Next": "Call"},
            "Call": {"Type": "Task", "Resource": arn(name, version), "End": True},
        }
        return {"StartAt": "Wait", "States": states}

    machine = cloud.machine(waiting("1"))
    begun = cloud.start(machine)
    change(cloud, name, "new", "b")
    definition = json.dumps(waiting(publish(cloud, name)))
    cloud.client("stepfunctions").update_state_machine(stateMachineArn=machine, definition=definition)
    later = cloud.start(machine)
    states = cloud.client("stepfunctions")
    described = [states.describe_state_machine_for_execution(executionArn=one)["definition"] for one in (begun, later)]
    assert [json.loads(one)["States"]["Call"]["Resource"] for one in described] == [arn(name, "1"), arn(name, "2")]
    assert [cloud.finish(one).output["code"] for one in (begun, later)] == ["old", "new"]


def test_a_version_that_is_deleted_is_gone_and_the_function_takes_all_of_its_versions_with_it(cloud: Cloud) -> None:
    """API_DeleteFunction.html, 2026-11: with a qualifier one version, without one the function with all of them."""
    name = telling(cloud, "x", "a")
    publish(cloud, name)
    change(cloud, name, "y", "a")
    publish(cloud, name)
    client = cloud.client("lambda")

    client.delete_function(FunctionName=name, Qualifier="1")
    versions = client.list_versions_by_function(FunctionName=name)["Versions"]
    assert [one["Version"] for one in versions] == ["$LATEST", "2"]
    with pytest.raises(ClientError) as gone:
        cloud.invoke(f"{name}:1")
    assert gone.value.response["Error"]["Code"] == "ResourceNotFoundException"
    client.delete_function(FunctionName=name)
    for called in (name, f"{name}:2"):
        with pytest.raises(ClientError):
            cloud.invoke(called)


# --- AWS::Lambda::Version --------------------------------------------------------------------------------------------


class Stack:
    """A stack with one function and its version, as the CDK writes them: the version's logical id follows the code."""

    def __init__(self, cloud: Cloud) -> None:
        self.name, self.cloud, self.client = fresh("versions"), cloud, cloud.client("cloudformation")
        self.role = cloud.role(allow("*"))

    def template(self, code: str, *, broken: bool = False) -> str:
        function = {
            "Type": "AWS::Lambda::Function",
            "Properties": {
                "Code": {"ZipFile": TELLING.format(code=code)},
                "Handler": "index.handler",
                "Role": self.role,
                "Runtime": "python3.12",
                "Environment": {"Variables": {"SETTING": code}},
            },
        }
        version = {
            "Type": "AWS::Lambda::Version",
            "Properties": {"FunctionName": {"Ref": "Function"}},
            "DeletionPolicy": "RetainExceptOnCreate",
            "UpdateReplacePolicy": "Retain",
        }
        resources: dict[str, Any] = {"Function": function, f"Version{code}": version}
        if broken:
            properties = {"ReplicationConfiguration": {}}
            resources["Broken"] = {"Type": "AWS::S3::Bucket", "Properties": properties, "DependsOn": f"Version{code}"}
        outputs = {"Function": {"Value": {"Ref": "Function"}}, "Version": {"Value": {"Ref": f"Version{code}"}}}
        return json.dumps({"Resources": resources, "Outputs": outputs})

    def deploy(self, code: str, *, first: bool = False, broken: bool = False) -> str:
        """The stack's status in the end."""
        act = self.client.create_stack if first else self.client.update_stack
        act(StackName=self.name, TemplateBody=self.template(code, broken=broken))
        return until(lambda: (found := self.status()).endswith(("COMPLETE", "FAILED")) and found)

    def status(self) -> str:
        return str(self._described()["StackStatus"])

    def outputs(self) -> dict[str, str]:
        return {one["OutputKey"]: one["OutputValue"] for one in self._described().get("Outputs", [])}

    def _described(self) -> dict[str, Any]:
        found: dict[str, Any] = self.client.describe_stacks(StackName=self.name)["Stacks"][0]
        return found

    def versions(self, function: str) -> list[str]:
        listed = self.cloud.client("lambda").list_versions_by_function(FunctionName=function)["Versions"]
        return [one["Version"] for one in listed]


def test_a_new_version_is_published_beside_the_old_one_which_is_still_called(cloud: Cloud) -> None:
    """aws-resource-lambda-version.html and aws-attribute-deletionpolicy.html, 2026-11: Ref is the version's ARN; a
    version that leaves the template under DeletionPolicy Retain or RetainExceptOnCreate stays."""
    stack = Stack(cloud)
    assert stack.deploy("old", first=True) == "CREATE_COMPLETE"
    before = stack.outputs()
    assert before["Version"] == arn(before["Function"], "1")

    assert stack.deploy("new") == "UPDATE_COMPLETE"
    after = stack.outputs()

    assert after == {"Function": before["Function"], "Version": arn(before["Function"], "2")}
    assert answer(cloud, before["Version"]) == ("old", "old", "1")
    assert answer(cloud, after["Version"]) == ("new", "new", "2")


def test_a_deployment_that_fails_leaves_no_version_and_the_same_one_can_be_deployed_then(cloud: Cloud) -> None:
    """aws-attribute-deletionpolicy.html, 2026-11: RetainExceptOnCreate deletes what a failed operation created. Left
    there, the version would make the next deployment of the same code fail: "A version for this Lambda function
    exists"."""
    stack = Stack(cloud)
    assert stack.deploy("old", first=True) == "CREATE_COMPLETE"
    function = stack.outputs()["Function"]

    assert stack.deploy("new", broken=True) == "UPDATE_ROLLBACK_COMPLETE"
    assert stack.versions(function) == ["$LATEST", "1"]
    assert answer(cloud, function)[0] == "old"

    assert stack.deploy("new") == "UPDATE_COMPLETE"
    assert answer(cloud, stack.outputs()["Version"])[0] == "new"


def test_going_back_to_older_code_publishes_it_anew(cloud: Cloud) -> None:
    stack = Stack(cloud)
    stack.deploy("old", first=True)
    function = stack.outputs()["Function"]
    assert [stack.deploy(code) for code in ("new", "old")] == ["UPDATE_COMPLETE"] * 2
    assert stack.versions(function) == ["$LATEST", "1", "2", "3"]
    assert answer(cloud, stack.outputs()["Version"]) == ("old", "old", "3")


def test_a_deleted_stack_leaves_no_version_whatever_their_deletion_policy(cloud: Cloud) -> None:
    stack = Stack(cloud)
    stack.deploy("old", first=True)
    stack.deploy("new")
    function = stack.outputs()["Function"]
    stack.client.delete_stack(StackName=stack.name)

    def gone() -> bool:
        try:
            cloud.client("lambda").get_function(FunctionName=function)
        except ClientError as error:
            return error.response["Error"]["Code"] == "ResourceNotFoundException"
        return False

    until(gone)
    for version in ("1", "2"):
        with pytest.raises(ClientError) as refused:
            cloud.invoke(arn(function, version))
        assert refused.value.response["Error"]["Code"] == "ResourceNotFoundException"


def test_the_log_of_a_version_says_which_one(cloud: Cloud) -> None:
    """monitoring-cloudwatchlogs.html of the developer guide, 2026-11: the version is in the stream's name."""
    name = telling(cloud, "x", "a")
    publish(cloud, name)
    called = cloud.client("lambda").invoke(FunctionName=name, Qualifier="1")
    streams = cloud.client("logs").describe_log_streams(logGroupName=f"/aws/lambda/{name}")["logStreams"]
    assert called["ExecutedVersion"] == "1"
    assert ["[1]" in stream["logStreamName"] for stream in streams] == [True]
