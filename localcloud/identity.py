"""Who the local cloud is: one account, one region, one pair of keys that may do everything."""

from __future__ import annotations

from localcloud.context import Credentials

ACCOUNT = "123456789012"
REGION = "us-east-1"
ROOT = Credentials(access_key="localcloud", secret_key="localcloud")


def environment(endpoint_url: str) -> dict[str, str]:
    """The variables that point every AWS SDK, the AWS CLI and the CDK CLI at the local cloud."""
    return {
        "AWS_ENDPOINT_URL": endpoint_url,
        **ROOT.environment(),
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
    }
