"""
Where a loop can be deployed: regions in which AWS offers all that its stacks are made of.

A region is listed where AWS lists its scikit-learn image (docs/reference/region_availability.md of
aws/deep-learning-containers) and where CloudFormation has every resource type of the templates (registry schemas, by
`cfn-lint --regions`); both read 2026-12. Budgets are the exception: only the type is missing in some regions.

>>> require_region("eu-west-1")
'eu-west-1'
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from perennial.errors import RegionUnsupported

__all__ = ["SUPPORTED_REGIONS", "UNSUPPORTED", "WITHOUT_BUDGETS", "require_region"]

SUPPORTED_REGIONS: Final = (
    *("af-south-1", "ap-east-1", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-south-1"),
    *("ap-southeast-1", "ap-southeast-2", "ap-southeast-3", "ca-central-1", "ca-west-1", "eu-central-1"),
    *("eu-central-2", "eu-north-1", "eu-south-1", "eu-south-2", "eu-west-1", "eu-west-2", "eu-west-3"),
    *("il-central-1", "sa-east-1", "us-east-1", "us-east-2", "us-west-1", "us-west-2"),
)
# Here AWS::Budgets::Budget doesn't exist; the loop goes without one, and says so in an output.
WITHOUT_BUDGETS: Final = (
    *("af-south-1", "ap-east-1", "ap-northeast-3", "ap-southeast-3", "ca-west-1", "eu-central-2", "eu-north-1"),
    *("eu-south-1", "eu-south-2", "il-central-1"),
)
# Where the image's registry has an account, but something else is missing.
_NO_GROUP: Final = "CloudFormation has no AWS::SageMaker::ModelPackageGroup there"
_NO_IMAGE: Final = "AWS doesn't list its scikit-learn image there"
UNSUPPORTED: Final[Mapping[str, str]] = MappingProxyType(
    {
        **dict.fromkeys(("ap-south-2", "ap-southeast-4", "cn-north-1", "cn-northwest-1", "us-gov-east-1"), _NO_GROUP),
        **dict.fromkeys(("me-central-1", "me-south-1", "us-gov-west-1"), _NO_IMAGE),
        **dict.fromkeys(("us-iso-east-1", "us-isob-east-1", "us-isof-east-1", "us-isof-south-1"), _NO_IMAGE),
    }
)


def require_region(region: str) -> str:
    """
    The region, if a loop can be deployed to it.

    Raises
    ------
    RegionUnsupported
        It can't; says why, where that is known, and which regions can.
    """
    if region in SUPPORTED_REGIONS:
        return region
    why = f" ({UNSUPPORTED[region]})" if region in UNSUPPORTED else ""
    near = difflib.get_close_matches(region, SUPPORTED_REGIONS, n=1, cutoff=0.8) if not why else []
    meant = f" Did you mean {near[0]}?" if near else ""
    raise RegionUnsupported(
        f"region must be one of {', '.join(SUPPORTED_REGIONS)}. Got {region!r} instead{why}.{meant}"
    )
