"""What we name, tag and describe things with is what AWS's own API models take."""

from __future__ import annotations

import unicodedata

import botocore.session
from hypothesis import given
from hypothesis import strategies as st

from infra.settings import Deployment, tag_value
from perennial.aws.registry import entity_description
from tests.builders import make_loop

SAGEMAKER = botocore.session.get_session().get_service_model("sagemaker")


def takes(shape: str, text: str) -> bool:
    """Whether a text fits one of botocore's patterns of Unicode categories and single signs, and its lengths."""
    model = SAGEMAKER.shape_for(shape)
    inside = model.metadata["pattern"].partition("[")[2].partition("]")[0].replace("\\-", "-").replace("\\/", "/")
    categories, signs = set(), inside
    for name in "LMZSNPC":
        if f"\\p{{{name}}}" in inside:
            categories.add(name)
            signs = signs.replace(f"\\p{{{name}}}", "")
    fits = all(unicodedata.category(sign)[0] in categories or sign in signs for sign in text)
    return fits and model.metadata["min"] <= len(text) <= model.metadata["max"]


@given(st.text())
def test_whatever_an_owner_is_called_its_tag_is_taken(text: str):
    assert takes("TagValue", tag_value(text))


@given(st.text())
def test_whatever_the_gate_says_the_registry_takes_its_description(text: str):
    assert takes("EntityDescription", entity_description(text))


def test_the_tags_of_a_deployment_are_taken():
    tags = Deployment(environment="pre\nproduction", cost_centre="ö & 12").tags(make_loop())
    assert tags["cost-centre"] == "ö - 12"
    for key, value in tags.items():
        assert takes("TagKey", key) and takes("TagValue", value), key


def test_what_the_registry_keeps_of_a_model_is_taken():
    """Digests, run ids, loops' names: hex digits, letters and hyphens."""
    for value in ("a" * 64, "demo-loop", "0" * 40):
        assert takes("CustomerMetadataValue", value)
    assert not takes("CustomerMetadataValue", "a, b")
