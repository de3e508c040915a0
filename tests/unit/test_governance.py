from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.errors import ApprovalRefused, ArtifactChanged
from perennial.gate import judge
from perennial.governance import GovernancePolicy, grant, route
from tests.builders import (
    DIGEST,
    NOW,
    make_approval_request,
    make_evaluation,
    make_first_evaluation,
    make_gate_policy,
    make_model_evaluation,
    make_paired,
)

AUTO = GovernancePolicy()


def _route(evaluation=None, **policy):
    evaluation = evaluation or make_evaluation()
    governance = GovernancePolicy.model_validate(policy)
    return route(judge(evaluation, make_gate_policy()), evaluation, governance)


def _grant(request=None, approver="ada", digest=DIGEST, now=NOW, policy=AUTO, **quoted):
    return grant(request or make_approval_request(), approver, digest, now=now, policy=policy, **quoted)


def test_an_approval_by_somebody_else_of_this_artifact_in_time_counts():
    granted = _grant(reason="looks right")
    assert (
        granted.model_version,
        granted.artifact_digest,
        granted.approved_by,
        granted.approved_at,
        granted.reasons,
    ) == ("run", DIGEST, "ada", NOW, ("looks right",))


@pytest.mark.parametrize("status", ["granted", "denied", "expired"])
def test_an_answered_request_can_not_be_answered_again(status):
    """P24: replay."""
    with pytest.raises(ApprovalRefused, match="must be pending"):
        _grant(make_approval_request(status=status))


@pytest.mark.parametrize("approver", ["perennial", "Perennial ", " PERENNIAL"])
def test_nobody_approves_their_own_request(approver):
    """P24: self-approval."""
    with pytest.raises(ApprovalRefused, match="somebody else"):
        _grant(approver=approver)


@given(st.text("0123456789abcdef", min_size=64, max_size=64).filter(lambda text: text != DIGEST))
def test_another_artifact_is_not_approved(digest):
    """P24, P25: the artifact changed after approval was asked for."""
    with pytest.raises(ArtifactChanged):
        _grant(digest=digest)


@pytest.mark.parametrize("late", [timedelta(0), timedelta(days=1)])
def test_an_approval_after_its_time_is_refused(late):
    request = make_approval_request()
    with pytest.raises(ApprovalRefused, match="too late"):
        _grant(request, now=request.expires_at + late)


@pytest.mark.parametrize("approver", ["", "  "])
def test_nobody_can_not_approve(approver):
    with pytest.raises(ApprovalRefused, match="name its approver"):
        _grant(approver=approver)


@pytest.mark.parametrize(("quoted", "asked"), [(None, "b1"), ("b2", "b1"), (None, None)])
def test_a_bundle_approval_quotes_the_bundle(quoted, asked):
    policy = GovernancePolicy(approval="bundle")
    with pytest.raises(ApprovalRefused, match="must quote the evidence bundle"):
        _grant(make_approval_request(bundle_digest=asked), policy=policy, bundle_digest=quoted)
    assert _grant(make_approval_request(bundle_digest="b1"), policy=policy, bundle_digest="b1").approved_by == "ada"


# --- who decides -----------------------------------------------------------------------------------------------------


def test_inside_the_envelope_the_policy_approves():
    assert _route().by == "policy"
    assert _route(approval="manual").by == "person"
    assert _route(approval="bundle").by == "person"


@pytest.mark.parametrize(
    ("evaluation", "envelope"),
    [
        (make_evaluation(), {"max_gain": 0.04}),
        (make_evaluation(importances={"a": 1}, champion_importances={"b": 1}), {"max_explanation_shift": 0.5}),
        (make_evaluation(), {"max_explanation_shift": 0.5}),
        (make_evaluation(), {"min_rows": 1001}),
        (make_first_evaluation(), {"first_model": False}),
        (make_first_evaluation(), {"min_rows": 1001}),
    ],
)
def test_outside_the_envelope_a_person_decides(evaluation, envelope):
    assert _route(evaluation).by == "policy"
    decided = _route(evaluation, envelope=envelope)
    assert decided.by == "person"
    assert decided.reasons[0].startswith("envelope: ")


@pytest.mark.parametrize(
    "evaluation",
    [
        make_evaluation(candidate=make_model_evaluation(0.7), paired=make_paired(-0.1)),
        make_evaluation(paired=make_paired(0.05, margin=0.1)),
    ],
)
@pytest.mark.parametrize("approval", ["auto", "manual", "bundle"])
def test_what_did_not_pass_the_gate_can_not_be_approved(evaluation, approval):
    """P21."""
    with pytest.raises(ApprovalRefused, match="must have passed the gate"):
        _route(evaluation, approval=approval)


def test_the_verdict_on_another_artifact_is_worth_nothing():
    """P21, P25."""
    verdict = judge(make_evaluation(), make_gate_policy())
    with pytest.raises(ArtifactChanged):
        route(verdict, make_evaluation(artifact_digest="f" * 64), AUTO)
