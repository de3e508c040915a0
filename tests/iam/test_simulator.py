"""The evaluator decides as AWS documents it, so that its word on our own policies counts."""

from __future__ import annotations

import pytest

from tests.iam.simulator import Answer, Call, Policies, simulate

BUCKET, KEY = "arn:aws:s3:::lake", "arn:aws:kms:us-east-1:123456789012:key/0ab1cd23-0123-4567-89ab-0123456789ab"
TABLE = "arn:aws:dynamodb:us-east-1:123456789012:table/catalog"
ROLE = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"{BUCKET}/curated/*"},
        {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": KEY},
        {
            "Effect": "Allow",
            "Action": "dynamodb:PutItem",
            "Resource": TABLE,
            "Condition": {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["loop#batches"]}},
        },
    ],
}
TLS_ONLY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [BUCKET, f"{BUCKET}/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
    ],
}
OWN_KEY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"AWS": "arn:aws:iam::123456789012:root"},
            "Action": "kms:*",
            "Resource": "*",
        }
    ],
}
TLS = {"aws:SecureTransport": "true"}
CASES = {
    "a prefix that it may read": (Call("r", "s3:GetObject", f"{BUCKET}/curated/a", TLS), "Allowed"),
    "a prefix next door": (Call("r", "s3:GetObject", f"{BUCKET}/models/a", TLS), "ImplicitlyDenied"),
    "an action next door": (Call("r", "s3:PutObject", f"{BUCKET}/curated/a", TLS), "ImplicitlyDenied"),
    "no TLS": (Call("r", "s3:GetObject", f"{BUCKET}/curated/a", {"aws:SecureTransport": "false"}), "ExplicitlyDenied"),
    "a key that trusts the account": (Call("r", "kms:Decrypt", KEY, {}), "Allowed"),
    "its partition": (Call("r", "dynamodb:PutItem", TABLE, {"dynamodb:LeadingKeys": ["loop#batches"]}), "Allowed"),
    "another": (Call("r", "dynamodb:PutItem", TABLE, {"dynamodb:LeadingKeys": ["loop#models"]}), "ImplicitlyDenied"),
    "an action that AWS has not": (Call("r", "s3:FetchObject", f"{BUCKET}/curated/a", TLS), "Error"),
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Answer]:
    policies = Policies("123456789012", {"r": [ROLE]}, {BUCKET: TLS_ONLY, KEY: OWN_KEY})
    calls = [call for call, _ in CASES.values()]
    return dict(zip(CASES, simulate(calls, policies, tmp_path_factory.mktemp("simulated")), strict=True))


@pytest.mark.parametrize("case", CASES)
def test_the_evaluator_knows(case: str, answers: dict[str, Answer]) -> None:
    assert answers[case].verdict == CASES[case][1], answers[case].why
