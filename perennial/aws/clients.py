"""The AWS clients that the adapters are given: made when first used, with bounded time-outs and retries."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

__all__ = ["Clients"]


def _session() -> Any:
    import boto3

    return boto3.session.Session()


@dataclass(frozen=True)
class Clients:
    """
    One boto3 client a service.

    Parameters
    ----------
    session
        A boto3 session; by default one from the environment. Endpoints follow AWS_ENDPOINT_URL, so the same code
        reaches AWS and the local cloud.
    """

    session: Any = field(default_factory=_session)

    def client(self, service: str, *, read_timeout_seconds: float = 20) -> Any:
        """
        A client of `service`.

        "standard" retries: three attempts with jitter, throttles included. What is beyond that is for the queue,
        the machine or the caller to try again, as they know how long it is worth it.
        """
        from botocore.config import Config

        return self.session.client(
            service,
            config=Config(
                connect_timeout=3,
                read_timeout=read_timeout_seconds,
                retries={"mode": "standard", "total_max_attempts": 3},
                user_agent_extra="perennial",
            ),
        )

    @property
    def region(self) -> str:
        """The region that the clients talk to."""
        return str(self.s3.meta.region_name)

    @cached_property
    def s3(self) -> Any:
        """S3."""
        return self.client("s3", read_timeout_seconds=60)

    @cached_property
    def dynamodb(self) -> Any:
        """DynamoDB."""
        return self.client("dynamodb", read_timeout_seconds=5)

    @cached_property
    def events(self) -> Any:
        """EventBridge."""
        return self.client("events")

    @cached_property
    def sqs(self) -> Any:
        """SQS."""
        return self.client("sqs")

    @cached_property
    def stepfunctions(self) -> Any:
        """Step Functions."""
        return self.client("stepfunctions")

    @cached_property
    def sagemaker(self) -> Any:
        """SageMaker's control plane."""
        return self.client("sagemaker")

    @cached_property
    def sagemaker_runtime(self) -> Any:
        """SageMaker's endpoints; an invocation may take 60 s."""
        return self.client("sagemaker-runtime", read_timeout_seconds=65)

    @cached_property
    def cloudwatch(self) -> Any:
        """CloudWatch."""
        return self.client("cloudwatch")

    @cached_property
    def logs(self) -> Any:
        """CloudWatch Logs."""
        return self.client("logs")

    @cached_property
    def sns(self) -> Any:
        """SNS."""
        return self.client("sns")

    @cached_property
    def lambda_(self) -> Any:
        """Lambda."""
        return self.client("lambda")
