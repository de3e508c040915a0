"""Regions, as data: whoever only asks about them needs no CDK."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["IMAGE_ACCOUNTS"]

# Registry accounts of AWS's scikit-learn images in the regions that a loop can be deployed to, as
# sagemaker.core.image_uris of the SageMaker SDK gives them; a test compares the two, so that the SDK (about 1 GB) isn't
# needed for a synthesis.
IMAGE_ACCOUNTS: Mapping[str, str] = MappingProxyType(
    {
        "af-south-1": "510948584623",
        "ap-east-1": "651117190479",
        "ap-northeast-1": "354813040037",
        "ap-northeast-2": "366743142698",
        "ap-northeast-3": "867004704886",
        "ap-south-1": "720646828776",
        "ap-southeast-1": "121021644041",
        "ap-southeast-2": "783357654285",
        "ap-southeast-3": "951798379941",
        "ca-central-1": "341280168497",
        "ca-west-1": "190319476487",
        "eu-central-1": "492215442770",
        "eu-central-2": "680994064768",
        "eu-north-1": "662702820516",
        "eu-south-1": "978288397137",
        "eu-south-2": "104374241257",
        "eu-west-1": "141502667606",
        "eu-west-2": "764974769150",
        "eu-west-3": "659782779980",
        "il-central-1": "898809789911",
        "sa-east-1": "737474898029",
        "us-east-1": "683313688378",
        "us-east-2": "257758044811",
        "us-west-1": "746614075791",
        "us-west-2": "246618743249",
    }
)
