"""
Instance types of SageMaker as its API takes them, and what a loop may use of them.

Read from botocore's API model (a test compares the two, so that neither a synthesis nor a container needs it): the
types that CreateTrainingJob and CreateProcessingJob both take, since a loop trains and evaluates on one, and those that
host a variant. AWS's scikit-learn image is for x86, so those with Graviton and Grace processors are left out.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Final

__all__ = ["HOSTING", "JOBS", "check_hosting_type", "check_job_type", "has_local_storage", "is_x86"]

_ARM: Final = re.compile(r"[a-z]+\d+g[a-z]*|p6e-gb200")
# "You can't request a VolumeKmsKeyId when using an instance type with local storage" (CreateTrainingJob); the families
# are those of "Instance store volumes" in EC2's guide. Local volumes are encrypted by the hardware. Both read 2026-12.
_LOCAL_STORAGE: Final = frozenset(
    {
        *("c5d", "dl1", "g4dn", "g5", "g6", "g6e", "g7", "g7e", "m5d", "p3dn", "p4d", "p4de", "p5", "p5e", "p5en"),
        *("p6-b200", "p6-b300", "r5d", "trn1", "trn1n", "trn2"),
    }
)


def _types(sizes: Mapping[str, str]) -> frozenset[str]:
    return frozenset(f"ml.{family}.{size}" for family, listed in sizes.items() for size in listed.split())


JOBS: Final = _types(
    {
        "c4": "xlarge 2xlarge 4xlarge 8xlarge",
        "c5": "xlarge 2xlarge 4xlarge 9xlarge 18xlarge",
        "c6i": "xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge",
        "c7i": "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 48xlarge",
        "c7i-flex": "xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge",
        "c8i": "xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge 48xlarge 96xlarge",
        "c8i-flex": "xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge",
        "g4dn": "xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge",
        "g5": "xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 48xlarge",
        "g6": "xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 48xlarge",
        "g6e": "xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 48xlarge",
        "g7": "2xlarge 4xlarge 8xlarge 12xlarge 24xlarge 48xlarge",
        "g7e": "2xlarge 4xlarge 8xlarge 12xlarge 24xlarge 48xlarge",
        "m4": "xlarge 2xlarge 4xlarge 10xlarge 16xlarge",
        "m5": "large xlarge 2xlarge 4xlarge 12xlarge 24xlarge",
        "m6i": "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge",
        "m7i": "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 48xlarge",
        "m7i-flex": "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge",
        "m8i": "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge 48xlarge 96xlarge",
        "m8i-flex": "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge",
        "p2": "xlarge 8xlarge 16xlarge",
        "p3": "2xlarge 8xlarge 16xlarge",
        "p5": "4xlarge",
        "r5": "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge",
        "r5d": "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge",
        "r6i": "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge",
        "r7i": "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 48xlarge",
        "r8i": "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge 48xlarge 96xlarge",
        "r8i-flex": "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge",
        "t3": "medium large xlarge 2xlarge",
    }
)

HOSTING: Final = _types(
    {
        "c4": "large xlarge 2xlarge 4xlarge 8xlarge",
        "c5": "large xlarge 2xlarge 4xlarge 9xlarge 18xlarge",
        "c5d": "large xlarge 2xlarge 4xlarge 9xlarge 18xlarge",
        "c6i": "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge",
        "c6in": "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge",
        "c7i": "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 48xlarge",
        "dl1": "24xlarge",
        "g4dn": "xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge",
        "g5": "xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 48xlarge",
        "g6": "xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 48xlarge",
        "g6e": "xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 48xlarge",
        "g7": "2xlarge 4xlarge 8xlarge 12xlarge 24xlarge 48xlarge",
        "g7e": "2xlarge 4xlarge 8xlarge 12xlarge 24xlarge 48xlarge",
        "inf1": "xlarge 2xlarge 6xlarge 24xlarge",
        "inf2": "xlarge 8xlarge 24xlarge 48xlarge",
        "m4": "xlarge 2xlarge 4xlarge 10xlarge 16xlarge",
        "m5": "large xlarge 2xlarge 4xlarge 12xlarge 24xlarge",
        "m5d": "large xlarge 2xlarge 4xlarge 12xlarge 24xlarge",
        "m6i": "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge",
        "m7i": "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 48xlarge",
        "p2": "xlarge 8xlarge 16xlarge",
        "p3": "2xlarge 8xlarge 16xlarge",
        "p4d": "24xlarge",
        "p4de": "24xlarge",
        "p5": "4xlarge 48xlarge",
        "p5e": "48xlarge",
        "p5en": "48xlarge",
        "p6-b200": "48xlarge",
        "p6-b300": "48xlarge",
        "r5": "large xlarge 2xlarge 4xlarge 12xlarge 24xlarge",
        "r5d": "large xlarge 2xlarge 4xlarge 12xlarge 24xlarge",
        "r6i": "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge",
        "r7i": "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 48xlarge",
        "t2": "medium large xlarge 2xlarge",
        "trn1": "2xlarge 32xlarge",
        "trn1n": "32xlarge",
        "trn2": "48xlarge",
    }
)


def is_x86(instance_type: str) -> bool:
    """
    Whether AWS's scikit-learn image runs on it.

    >>> is_x86("ml.m5.large"), is_x86("ml.m6g.large"), is_x86("ml.g6e.xlarge")
    (True, False, True)
    """
    return not _ARM.fullmatch(_family(instance_type))


def has_local_storage(instance_type: str) -> bool:
    """
    Whether a job on it has a volume of the instance's own, for which no key can be named.

    >>> has_local_storage("ml.m5.large"), has_local_storage("ml.r5d.large")
    (False, True)
    """
    return _family(instance_type) in _LOCAL_STORAGE


def check_job_type(instance_type: str) -> str:
    """
    A type that jobs can run on.

    Raises
    ------
    ValueError
        Says why not, and what is nearest.
    """
    return _check(instance_type, JOBS, "SageMaker trains and evaluates on", HOSTING, "only hosts models")


def check_hosting_type(instance_type: str) -> str:
    """
    A type that a variant can be hosted on.

    Raises
    ------
    ValueError
        Says why not, and what is nearest.
    """
    return _check(instance_type, HOSTING, "SageMaker hosts models on", JOBS, "only runs jobs")


def _check(instance_type: str, known: frozenset[str], what: str, others: frozenset[str], but: str) -> str:
    if instance_type in known:
        return instance_type
    if instance_type in others:
        why = f", which {but}"
    elif not is_x86(instance_type):
        why = ", which isn't x86 as AWS's scikit-learn image is"
    else:
        why = ""
    near = difflib.get_close_matches(instance_type, sorted(known), n=3, cutoff=0.5) or ["ml.m5.large"]
    raise ValueError(
        f"instance_type must be one that {what}, such as {', '.join(near)}. Got {instance_type!r} instead{why}"
    )


def _family(instance_type: str) -> str:
    return instance_type.removeprefix("ml.").partition(".")[0]
