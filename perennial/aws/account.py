"""What an AWS account says of itself and of a loop in it, as `perennial.doctor` judges it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

from perennial import keys
from perennial.doctor import AccountFacts, Concurrency, Identity, LoopFacts, Missing, Unasked

__all__ = ["Account", "identify"]

_QUALIFIER: Final = "hnb659fds"  # the CDK's own, which names the roles of a bootstrap
# What the CDK CLI does with the caller's own rights; CloudFormation does the rest as the bootstrap's role.
_CALLER_ASSUMES: Final = ("deploy-role", "file-publishing-role")
_STACKS_NEED: Final = (
    "iam:CreateRole", "iam:PutRolePolicy", "iam:PassRole", "kms:CreateKey", "s3:CreateBucket", "dynamodb:CreateTable",
    "lambda:CreateFunction", "lambda:PublishVersion", "states:CreateStateMachine", "events:PutRule", "sns:CreateTopic",
    "sqs:CreateQueue", "scheduler:CreateSchedule", "cloudwatch:PutMetricAlarm", "sagemaker:CreateModelPackageGroup",
)  # fmt: skip
_ROLE: Final = re.compile(r"arn:[\w-]+:iam::\d+:role/[\w+=,.@/-]+")
_NO_STACK: Final = "ValidationError"


class Account:
    """
    One account and region.

    Parameters
    ----------
    client
        Gives a client by its service's name.
    region
        None: no client may be asked.
    identity
        Who asks; where it is missing nothing else is asked.
    local
        The account is a local cloud's, which has no quotas.
    """

    def __init__(
        self, client: Callable[[str], Any], *, region: str | None, identity: Identity | Missing, local: bool = False
    ) -> None:
        self._client, self._region, self._identity, self._local = client, region, identity, local

    @property
    def identity(self) -> Identity | Missing:
        """Who asks."""
        return self._identity

    def quotas(self, names: Iterable[str]) -> Mapping[str, float]:
        """Limits by the quota's name; empty where they can't be had."""
        found = self._limit(lambda: self._quotas(frozenset(names)))
        return {} if isinstance(found, Unasked) else found

    def facts(self) -> AccountFacts:
        """What there is to know whatever the loop."""
        return AccountFacts(
            identity=self._identity,
            region=self._region,
            bootstrap_version=self._asked(self._bootstrap_version),
            concurrency=self._limit(self._concurrency),
            denied=self._asked(self._denied_to_deploy),
        )

    def loop_facts(self, loop: str, stage: str, quotas: Iterable[str]) -> LoopFacts:
        """What there is to know of a loop; `quotas` are the names of those that matter to it."""
        wanted = frozenset(quotas)
        return LoopFacts(
            quotas=self._limit(lambda: self._quotas(wanted)),
            stacks=self._asked(lambda: self._stacks(loop, stage)),
            endpoint_status=self._asked(lambda: self._endpoint_status(loop, stage)),
            denied=self._asked(lambda: self._denied_to_machines(loop, stage)),
        )

    def _asked[T](self, look: Callable[[], T]) -> T | Unasked:
        if isinstance(self._identity, Missing):
            return Unasked("it takes credentials")
        if self._region is None:
            return Unasked("it takes a region")
        try:
            return look()
        except ClientError as error:
            answered = error.response["Error"]
            return Unasked(f"AWS answered {answered['Code']}: {answered.get('Message', '')}")
        except BotoCoreError as error:
            return Unasked(str(error))

    def _limit[T](self, look: Callable[[], T]) -> T | Unasked:
        return Unasked("the local cloud has no quotas") if self._local else self._asked(look)

    def _bootstrap_version(self) -> int | None:
        parameter = f"/cdk-bootstrap/{_QUALIFIER}/version"
        try:
            return int(self._client("ssm").get_parameter(Name=parameter)["Parameter"]["Value"])
        except ClientError as error:
            if error.response["Error"]["Code"] == "ParameterNotFound":
                return None
            raise

    def _concurrency(self) -> Concurrency:
        limits = self._client("lambda").get_account_settings()["AccountLimit"]
        return Concurrency(limits["ConcurrentExecutions"], limits["UnreservedConcurrentExecutions"])

    def _quotas(self, wanted: frozenset[str]) -> dict[str, float]:
        """Applied limits; where AWS lists none for the account, its default."""
        client = self._client("service-quotas")
        found: dict[str, float] = {}
        for operation in ("list_aws_default_service_quotas", "list_service_quotas"):
            for page in client.get_paginator(operation).paginate(ServiceCode="sagemaker"):
                found |= {one["QuotaName"]: one["Value"] for one in page["Quotas"] if one["QuotaName"] in wanted}
        return found

    def _stacks(self, loop: str, stage: str) -> dict[str, str]:
        found = {}
        for name in (keys.stack_name(loop, stage, part) for part in keys.STACK_PARTS):
            if stack := self._stack(name):
                found[name] = str(stack["StackStatus"])
        return found

    def _stack(self, name: str) -> Mapping[str, Any] | None:
        try:
            stack: Mapping[str, Any] = self._client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
        except ClientError as error:
            if error.response["Error"]["Code"] == _NO_STACK:
                return None
            raise
        return stack

    def _endpoint_status(self, loop: str, stage: str) -> str | None:
        try:
            found = self._client("sagemaker").describe_endpoint(EndpointName=keys.endpoint_name(loop, stage))
        except ClientError as error:
            if error.response["Error"]["Code"] == "ValidationException":
                return None
            raise
        return str(found["EndpointStatus"])

    def _denied_to_deploy(self) -> dict[str, tuple[str, ...]]:
        assert isinstance(self._identity, Identity)
        partition, account = self._identity.arn.split(":")[1], self._identity.account
        bootstrap = f"arn:{partition}:iam::{account}:role/cdk-{_QUALIFIER}-{{}}-{account}-{self._region}"
        denied = {}
        if principal := self._principal(self._identity.arn):
            assumed = [bootstrap.format(role) for role in _CALLER_ASSUMES]
            denied["the caller"] = self._denied(principal, ["sts:AssumeRole"], assumed)
        executes = bootstrap.format("cfn-exec-role")
        # The local cloud's CloudFormation works as the root user, whatever role it is given.
        if not self._local and self._exists(executes):
            denied["CloudFormation's role"] = self._denied(executes, list(_STACKS_NEED), [])
        return denied

    def _denied_to_machines(self, loop: str, stage: str) -> dict[str, tuple[str, ...]]:
        """For each state machine the roles that its definition names and it may not hand to SageMaker."""
        denied: dict[str, tuple[str, ...]] = {}
        for part in keys.STACK_PARTS:
            stack = self._stack(keys.stack_name(loop, stage, part)) or {}
            for output in stack.get("Outputs", ()):
                if output["OutputKey"].endswith("MachineArn"):
                    denied[output["OutputKey"].removesuffix("Arn")] = self._not_passed(output["OutputValue"])
        return denied

    def _not_passed(self, machine: str) -> tuple[str, ...]:
        described = self._client("stepfunctions").describe_state_machine(stateMachineArn=machine)
        passed = sorted(set(_ROLE.findall(described["definition"])))
        if not passed:
            return ()
        to_sagemaker = [
            {
                "ContextKeyName": "iam:PassedToService",
                "ContextKeyType": "string",
                "ContextKeyValues": ["sagemaker.amazonaws.com"],
            }
        ]
        return self._denied(described["roleArn"], ["iam:PassRole"], passed, context=to_sagemaker)

    def _principal(self, arn: str) -> str | None:
        """Whose policies count for the caller `arn`; None for the root user, whom none holds back."""
        resource = arn.split(":", 5)[5]
        if resource == "root":
            return None
        if resource.startswith("assumed-role/"):
            name = resource.split("/")[1]
            return str(self._client("iam").get_role(RoleName=name)["Role"]["Arn"])
        return arn

    def _exists(self, role: str) -> bool:
        try:
            self._client("iam").get_role(RoleName=role.rpartition("/")[2])
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchEntity":
                return False
            raise
        return True

    def _denied(
        self, principal: str, actions: list[str], resources: list[str], *, context: list[dict[str, Any]] | None = None
    ) -> tuple[str, ...]:
        asked = {"PolicySourceArn": principal, "ActionNames": actions}
        results: list[Mapping[str, Any]] = []
        for resource in resources or [""]:
            more: dict[str, Any] = {"ResourceArns": [resource]} if resource else {}
            more |= {"ContextEntries": context} if context else {}
            answer = self._client("iam").simulate_principal_policy(**asked, **more)
            results += [{**one, "EvalResourceName": resource} for one in answer["EvaluationResults"]]
        return tuple(
            f"{one['EvalActionName']}{' on ' + one['EvalResourceName'] if one['EvalResourceName'] else ''}"
            for one in results
            if one["EvalDecision"] != "allowed"
        )


def identify(client: Callable[[str], Any]) -> Identity | Missing:
    """Who the credentials are, or what they lack."""
    try:
        caller = client("sts").get_caller_identity()
    except PartialCredentialsError as error:
        lacking = str(error.kwargs.get("cred_var", "a part of them"))
        return Missing(f"incomplete: {lacking} is missing", f"set {lacking.upper()} beside the others")
    except NoCredentialsError:
        return Missing(
            "none were found: neither AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY nor AWS_PROFILE is set, and there is "
            "no default profile",
            "run `aws configure sso` or `aws login` and set AWS_PROFILE; for the local cloud run `perennial up` and "
            "set the variables that it prints",
        )
    except ClientError as error:
        answered = error.response["Error"]
        return Missing(
            f"AWS refuses them: {answered['Code']}: {answered.get('Message', '')}", "renew them; temporary ones expire"
        )
    except BotoCoreError as error:
        return Missing(f"they can't be used: {error}", "see that the profile is complete and AWS can be reached")
    return Identity(account=caller["Account"], arn=caller["Arn"])
