"""
What every role asked for in all these journeys, judged again by an evaluator that is not ours (npm's iam-simulate).

Runs last: the recording is of the whole session, from the first landing to `cdk destroy`. Actions that are allowed and
that no journey ever needed are in tests/iam/unused.toml with the reason why they stay.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from tests.iam.recorded import Deployed, Recorded, recorded_calls
from tests.iam.simulator import Answer, simulate
from tests.loop.conftest import LATE, RECORD, Cycle
from tests.loop.journey import Journey

pytestmark = pytest.mark.local_cloud

UNUSED = Path(__file__).parents[1] / "iam" / "unused.toml"


@pytest.fixture(scope="module")
def recorded(journey: Journey, permissions: Deployed, rolled_back: Cycle) -> Sequence[Recorded]:
    return recorded_calls(journey.cloud.server.state_dir / RECORD, permissions.policies.identity)


@pytest.fixture(scope="module")
def answers(
    recorded: Sequence[Recorded], permissions: Deployed, tmp_path_factory: pytest.TempPathFactory
) -> Sequence[tuple[Recorded, Answer]]:
    calls = [one.call for one in recorded]
    given = simulate(calls, permissions.policies, tmp_path_factory.mktemp("replay"))
    return list(zip(recorded, given, strict=True))


# AWS's list of actions has no resource for these, so the evaluator takes `*` only. AWS's own refusals name the machine,
# CDK's grantTaskResponse grants on it, and so do we.
WITHOUT_RESOURCE = ("states:SendTaskSuccess", "states:SendTaskFailure")


def test_every_call_that_the_local_cloud_let_through_aws_would_let_through_and_no_other(
    answers: Sequence[tuple[Recorded, Answer]], permissions: Deployed
) -> None:
    assert len({one.call.action for one, _ in answers}) > 40
    different = [
        (permissions.names[one.call.role], one.call.action, one.call.resource, answer.verdict, answer.why)
        for one, answer in answers
        if one.is_allowed != answer.is_allowed and one.call.action not in WITHOUT_RESOURCE
    ]
    assert different == []
    assert {answer.verdict for one, answer in answers if one.call.action in WITHOUT_RESOURCE} <= {"Error"}


@dataclass(frozen=True)
class Explained:
    """Actions that stay allowed to roles though no journey needs them; `sometimes` one may, depending on timing."""

    why: str
    roles: Sequence[str]
    actions: Sequence[str]
    sometimes: bool = False

    def covers(self, role: str, action: str) -> bool:
        return _matches(role, self.roles) and _matches(action, self.actions)

    def needless(self, unused: Iterable[tuple[str, str]], used: Iterable[tuple[str, str]]) -> Iterator[str]:
        """What of it explains nothing, or what journeys need after all."""
        if self.sometimes:
            return
        covered = [pair for pair in unused if self.covers(*pair)]
        yield from (one for one in self.roles if not any(fnmatchcase(role, one) for role, _ in covered))
        yield from (one for one in self.actions if not any(fnmatchcase(action, one) for _, action in covered))
        yield from (f"{role} uses {action}" for role, action in used if self.covers(role, action))


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def test_p58_each_allowed_action_is_needed_by_a_journey_or_explained_and_no_explanation_outlives_its_need(
    recorded: Sequence[Recorded], permissions: Deployed, request: pytest.FixtureRequest
) -> None:
    session = {Path(item.path).stem for item in request.session.items}
    if not {*LATE, "test_landing", "test_gate", "test_roll_back"} <= session:
        pytest.skip("only the whole of tests/loop needs everything that is allowed")
    explained = [Explained(**told) for told in tomllib.loads(UNUSED.read_text())["unused"]]
    used = {(permissions.names[one.call.role], one.call.action) for one in recorded if one.is_allowed}
    unused = set(permissions.allowed()) - used

    unexplained = sorted(pair for pair in unused if not any(one.covers(*pair) for one in explained))
    assert unexplained == [], "take the permission away, or say in tests/iam/unused.toml why it stays"
    needless = {one.why: found for one in explained if (found := sorted(set(one.needless(unused, used))))}
    assert needless == {}, "used after all, or no longer allowed: take it out of tests/iam/unused.toml"
    assert all(len(one.why.split()) >= 6 for one in explained)
