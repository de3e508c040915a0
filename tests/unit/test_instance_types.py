"""Instance types are those of SageMaker's own API, and a loop is told at once of one that it can't use."""

from __future__ import annotations

import botocore.session
import pytest

from perennial.errors import LoopInvalid
from perennial.instance_types import HOSTING, JOBS, has_local_storage, is_x86
from tests.builders import make_loop

SAGEMAKER = botocore.session.get_session().get_service_model("sagemaker")
# Families whose volumes are of EBS alone ("Instance store volumes" in EC2's guide lists the others, read 2026-12).
EBS_ONLY = {
    *("c4", "c5", "c6i", "c6in", "c7i", "c7i-flex", "c8i", "c8i-flex", "inf1", "inf2", "m4", "m5", "m6i", "m7i"),
    *("m7i-flex", "m8i", "m8i-flex", "p2", "p3", "r5", "r6i", "r7i", "r8i", "r8i-flex", "t2", "t3"),
}


def of_api(shape: str) -> set[str]:
    return {name for name in SAGEMAKER.shape_for(shape).enum if is_x86(name)}


def test_jobs_run_on_what_both_training_and_processing_take():
    assert of_api("TrainingInstanceType") & of_api("ProcessingInstanceType") == JOBS


def test_variants_are_hosted_on_what_endpoints_take():
    assert of_api("ProductionVariantInstanceType") == HOSTING


def test_every_family_is_known_to_have_storage_of_its_own_or_not():
    """A new family in SageMaker's API must be decided upon: a job with a key for a volume that it hasn't is refused."""
    for name in JOBS | HOSTING:
        assert has_local_storage(name) is not (name.split(".")[1] in EBS_ONLY), name


@pytest.mark.parametrize(
    ("section", "given", "said"),
    [
        ("training", "ml.c5.large", "only hosts models"),
        ("training", "ml.p4d.24xlarge", "trains and evaluates on"),
        ("training", "ml.m5.huge", "ml.m5.large"),
        ("rollout", "ml.t3.medium", "hosts models on"),
        ("rollout", "ml.c7g.large", "isn't x86"),
        ("rollout", "m5.large", "ml.m5.large"),
        ("rollout", "ml.m5.", "hosts models on"),
    ],
)
def test_a_type_that_cannot_be_used_is_refused_when_the_loop_is_read(section: str, given: str, said: str):
    with pytest.raises((LoopInvalid, ValueError)) as error:
        make_loop(**{section: {"instance_type": given}})
    assert said in str(error.value) and given in str(error.value)


def test_a_run_takes_no_longer_than_its_evaluation_may():
    """A processing job has nine days at most, a training job twenty-eight."""
    limit = SAGEMAKER.shape_for("ProcessingMaxRuntimeInSeconds").metadata["max"]
    make_loop(training={"max_runtime": "9d"})
    assert limit == 9 * 86_400
    with pytest.raises((LoopInvalid, ValueError)):
        make_loop(training={"max_runtime": f"{limit + 1}s"})
