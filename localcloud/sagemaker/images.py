"""Which container image the local cloud can stand in for, and under what digest it shows."""

from __future__ import annotations

import functools
import hashlib
import platform
import sys
from importlib.metadata import PackageNotFoundError, version

from localcloud.sagemaker.errors import ValidationException

SUPPORTED = "sagemaker-scikit-learn"
_PACKAGES = ("scikit-learn", "numpy", "scipy", "pandas")


def check(image: str | None) -> None:
    """Raise unless `image` is AWS's prebuilt scikit-learn image, which this interpreter imitates."""
    if SUPPORTED not in (image or ""):
        raise ValidationException(
            f"the local cloud runs AWS's prebuilt image only: its name must contain {SUPPORTED}. Got {image or 'none'}"
        )


def resolved(image: str) -> str:
    """`image` by digest: not AWS's, but a digest of what stands in for it, so that it changes when that changes."""
    if "@sha256:" in image:
        return image
    name, colon, _ = image.rpartition(":")
    return f"{name if colon and '/' in name else image}@sha256:{_digest(image)}"


@functools.cache
def _digest(image: str) -> str:
    parts = [image, platform.machine(), sys.version]
    for package in _PACKAGES:
        try:
            parts.append(f"{package}=={version(package)}")
        except PackageNotFoundError:
            parts.append(f"no {package}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
