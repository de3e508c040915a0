"""Every execution of the session, once more in an interpreter that shares no code with the local cloud's."""

from __future__ import annotations

import json

import pytest

from tests.loop.conftest import Cycle
from tests.loop.journey import Execution, Journey
from tests.loop.second_engine import answers_of, replay

pytestmark = pytest.mark.local_cloud

MACHINES = ("LearningMachineArn", "RolloutMachineArn")


@pytest.fixture(scope="module")
def recorded(
    journey: Journey, first_model: Cycle, promoted: Cycle, refused: Cycle, rolled_back: Cycle
) -> list[Execution]:
    """Whatever both machines executed so far."""
    return [
        journey.recorded(machine, one["executionArn"]) for machine in MACHINES for one in journey.executions(machine)
    ]


def test_the_recorded_executions_cover_how_runs_and_rollouts_end(recorded: list[Execution]):
    ends = {(one.machine, one.run.states[-1], (one.output or {}).get("status")) for one in recorded}
    assert {
        ("LearningMachineArn", "Concluded", None),
        ("RolloutMachineArn", "Ended", "promoted"),
        ("RolloutMachineArn", "Ended", "rolled back"),
    } <= ends
    concluded = {state for one in recorded for state in one.run.states if state.startswith("Conclude")}
    assert {"ConcludePromoted", "ConcludeRejected", "ConcludeRolledBack"} <= concluded


def test_a_second_engine_goes_through_the_same_states_to_the_same_end(journey: Journey, recorded: list[Execution]):
    assert len(recorded) >= 7
    states = journey.client("stepfunctions")
    for machine in MACHINES:
        definition = json.loads(
            states.describe_state_machine(stateMachineArn=journey.deployment[machine])["definition"]
        )
        for one in (execution for execution in recorded if execution.machine == machine):
            again = replay(definition, json.loads(one.described["input"]), answers_of(one.history))
            assert again == one.run, one.name
