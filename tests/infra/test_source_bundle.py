"""What SageMaker's containers run from holds what AWS's image lacks, and nothing that it already has."""

from __future__ import annotations

import re
import tarfile
from pathlib import Path

import pytest

from infra.packaging import ROOT, build_source_bundle
from tests.infra.conftest import LOOP

# Every job and every new instance fetches it: what the image already has would be 50 MB more.
MOST_MB = 4


def locked(name: str) -> dict[str, str]:
    """Version by package of requirements/<name>.txt."""
    return dict(re.findall(r"^([a-z0-9-]+)==([^ ;\\]+)", (ROOT / "requirements" / f"{name}.txt").read_text(), re.M))


@pytest.fixture(scope="module")
def wheels() -> set[str]:
    with tarfile.open(build_source_bundle(LOOP) / "sourcedir.tar.gz") as archive:
        return {Path(name).name.split("-")[0].replace("_", "-") for name in archive.getnames() if name.endswith(".whl")}


@pytest.mark.bundle
def test_the_source_bundle_is_small_enough_to_be_fetched_by_every_job():
    size = (build_source_bundle(LOOP) / "sourcedir.tar.gz").stat().st_size / 1e6
    assert size < MOST_MB


@pytest.mark.bundle
def test_the_source_bundle_brings_no_wheel_that_the_image_has(wheels: set[str]):
    assert wheels == locked("vendor").keys()
    assert not wheels & locked("image").keys()


def test_with_the_wheels_the_image_has_every_package_that_a_function_over_rows_has():
    """perennial reads rows in a function and in a container; Lambda's own tools and CDK's stay in the functions."""
    only_in_functions = {"aws-lambda-powertools", "aws-xray-sdk", "wrapt"}
    both = locked("vendor").keys() | locked("image").keys()
    assert locked("data").keys() - both == only_in_functions


@pytest.mark.parametrize("package", ["numpy", "pyarrow"])
def test_containers_and_functions_read_rows_by_one_release_of_a_package(package: str):
    """Patches apart: AWS's lock has the one, ours the other."""
    function, image = (locked(name)[package].split(".") for name in ("data", "image"))
    assert function[:2] == image[:2]
