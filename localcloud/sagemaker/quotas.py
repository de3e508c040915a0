"""
What a new account may not serve: instance types whose default quota for endpoints is none.

Source: AWS General Reference, "Amazon SageMaker endpoints and quotas": "for endpoint usage" of accelerators is 0
until an increase is granted (read 2026-11). Every other type may be served without limit here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from localcloud.sagemaker.errors import ResourceLimitExceeded

__all__ = ["WITHOUT_QUOTA", "refuse_beyond_quota"]

WITHOUT_QUOTA = ("ml.p4d.24xlarge", "ml.p4de.24xlarge", "ml.p5.48xlarge")


def refuse_beyond_quota(variants: Iterable[Mapping[str, Any]]) -> None:
    """
    Pass when the account may serve these production variants.

    Raises
    ------
    ResourceLimitExceeded
        As AWS says it.
    """
    for variant in variants:
        kind, count = variant.get("InstanceType"), variant.get("InitialInstanceCount", 1)
        if kind in WITHOUT_QUOTA:
            raise ResourceLimitExceeded(
                f"The account-level service limit '{kind} for endpoint usage' is 0 Instances, with current utilization "
                f"of 0 Instances and a request delta of {count} Instances. Please use AWS Service Quotas to request an "
                "increase for this quota. If AWS Service Quotas is not available, contact AWS support to request an "
                "increase for this quota."
            )
