"""
Two loops in two stages of one account, each deployed, taught and rolled out beside the others.

Two of the four roll a challenger out at the same time. One of these is deployed again meanwhile, with another policy
and with functions that fail whenever they are called: if anything of that reached the rollout, it would end otherwise
than the one that nobody touched. What holds a rollout until then is the lack of requests, not a clock. Last of all one
of the four is destroyed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localcloud.scales import Scales
from perennial import keys
from perennial.cli.deployment import find_deployment
from perennial.cli.local import LocalCloud, local_cloud
from perennial.cli.status import gather
from perennial.cli.versions import Pruned, prune
from tests.loop.canary_watch import Callers
from tests.loop.journey import Execution, Journey, LocalSession, labels_file
from tests.loop.small_loops import Project, batches

pytestmark = pytest.mark.local_cloud

SCALES = Scales(waits=300, alarms=60, schedules=1)
# A loop and a stage whose names continue another's.
LOOPS, STAGES = ("pay", "pay-2"), ("dev", "dev-2")
ALL = [(loop, stage) for loop in LOOPS for stage in STAGES]
# One is deployed to in mid-canary, the other not; both have the same data and the same loop.
OVER, BESIDE = ("pay", "dev"), ("pay", "dev-2")
IDLE = [one for one in ALL if one not in (OVER, BESIDE)]
RUNS = {which: 1 if which in IDLE else 2 for which in ALL}
MACHINES = ("LearningMachineArn", "RolloutMachineArn")


@dataclass
class Account:
    """The local cloud with four deployments on it, and the project that they come from."""

    project: Project
    journeys: dict[tuple[str, str], Journey] = field(default_factory=dict)

    def __getitem__(self, which: tuple[str, str]) -> Journey:
        return self.journeys[which]

    def deploy(self, which: tuple[str, str], server: Any) -> None:
        """Deploy the project as it is now; again, where it is deployed already."""
        loop, stage = which
        cloud = LocalCloud(server, self.project.root, loop, stage)
        assembly = server.state_dir / f"{loop}--{stage}"
        cloud.synthesize(assembly)
        cloud.deploy(assembly)
        found = find_deployment(loop, LocalSession(server.endpoint_url), stage=stage)
        self.journeys[which] = Journey(cloud, found, assembly)


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """Two loops in two stages, each taught the same days."""
    folder = tmp_path_factory.mktemp("stages")
    account = Account(Project.copy(folder / "project"))
    for loop in LOOPS:
        account.project.write_loop(loop)
    with local_cloud(account.project.root, LOOPS[0], port=0, state_dir=folder / "state", scales=SCALES) as cloud:
        for which in ALL:
            account.deploy(which, cloud.server)
        yield account


@pytest.fixture(scope="module")
def first_models(account: Account) -> dict[tuple[str, str], Execution]:
    """The same days land everywhere at once; each loop learns its first model from them."""
    days = list(batches(seed=1))
    journeys = account.journeys.values()
    landed = [[journey.land("batches", f"{day.name}.csv", day.batch_csv()) for day in days] for journey in journeys]
    for journey, files in zip(journeys, landed, strict=True):
        journey.await_landed(files)
    # In one file: of several, the newest may be taken up before the others, and none asks for a model after it.
    for journey in journeys:
        journey.land("labels", "days.csv", labels_file(days))
    return {which: journey.await_execution("LearningMachineArn") for which, journey in account.journeys.items()}


@dataclass(frozen=True)
class Rollout:
    """A rollout of a challenger beside a champion, and how the deployment looked before and after it."""

    learning: Execution
    rollout: Execution
    champion: Mapping[str, Any]
    state: Mapping[str, Any]
    weights: Mapping[str, float]
    config: str


@dataclass(frozen=True)
class Deployed:
    """Both rollouts, and what was seen around the deployment that one of them was in the middle of."""

    over: Rollout
    beside: Rollout
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    pruned: Sequence[Pruned]
    idle_before: Mapping[tuple[str, str], Any]
    idle_after: Mapping[tuple[str, str], Any]


def _live(journey: Journey) -> dict[str, Any]:
    """The live pointer."""
    return journey.deployment.catalog.get(keys.live_item(journey.deployment.loop)) or {}


def _weights(journey: Journey) -> dict[str, float]:
    return {one["VariantName"]: one["CurrentWeight"] for one in journey.endpoint()["ProductionVariants"]}


def _in_first_step(journey: Journey) -> bool:
    return journey.endpoint()["EndpointStatus"] == "InService" and sorted(_weights(journey).values()) == [0.5, 0.5]


def _standing(journey: Journey) -> dict[str, Any]:
    """What a deployment elsewhere, or one in mid-canary, must not change."""
    endpoint = journey.endpoint()
    return {
        "weights": _weights(journey),
        "config": endpoint["EndpointConfigName"],
        "live": _live(journey),
        "executions": {machine: [one["name"] for one in journey.executions(machine)] for machine in MACHINES},
        "models": sorted(journey.partition("models")),
        "landings": sorted(journey.partition("landings")),
    }


def _finished(journey: Journey, run: str) -> Rollout:
    rollout = journey.await_execution("RolloutMachineArn", name=run)
    learning = journey.await_execution("LearningMachineArn", name=run)
    champion = journey.partition("models")[_live(journey)["champion"]]
    return Rollout(
        learning,
        rollout,
        champion,
        _live(journey),
        _weights(journey),
        journey.endpoint()["EndpointConfigName"],
    )


@pytest.fixture(scope="module")
def deployed(account: Account, first_models: dict[tuple[str, str], Execution]) -> Deployed:
    """Two challengers take their first traffic; one deployment is replaced; then requests come, and both go on."""
    over, beside = account[OVER], account[BESIDE]
    idle = {which: _standing(account[which]) for which in IDLE}
    runs = [journey.retrain("deeper", depth="4") for journey in (over, beside)]
    for journey in (over, beside):
        journey.until(lambda one=journey: _in_first_step(one), what="a canary")

    before = _standing(over) | {"functions": _functions(over)}
    account.project.write_loop(OVER[0], min_samples=1_000_000, max_holds=0)
    for name in ("analyse_canary", "finish_rollout"):
        account.project.break_function(name)
    account.deploy(OVER, over.cloud.server)
    over = account[OVER]
    after = _standing(over) | {"functions": _functions(over), "status": gather(over.deployment)}
    pruned = [prune(over.deployment)]

    rows = [row for day in batches(seed=2) for row in day.rows]
    with Callers(over, rows, per_second=20), Callers(beside, rows, per_second=20):
        finished = [_finished(journey, run) for journey, run in zip((over, beside), runs, strict=True)]
    pruned.append(prune(over.deployment))
    return Deployed(*finished, before, after, pruned, idle, {which: _standing(account[which]) for which in IDLE})


def _functions(journey: Journey) -> dict[str, tuple[str, str]]:
    """Code and loop's file of every function of the serving stack, unpublished, by the name of its module."""
    client = journey.client("lambda")
    pages = client.get_paginator("list_functions").paginate()
    prefix = keys.stack_name(journey.deployment.loop, journey.deployment.stage, "Serving")
    return {
        one["Handler"]: (one["CodeSha256"], one["Environment"]["Variables"]["LOOP_URI"])
        for page in pages
        for one in page["Functions"]
        if one["FunctionName"].startswith(prefix)
    }


def _called(journey: Journey, execution: Execution) -> set[str]:
    """ARNs of the functions that an execution called."""
    details = [event.get("taskScheduledEventDetails") or {} for event in execution.history]
    arns = {event["lambdaFunctionScheduledEventDetails"]["resource"] for event in execution.history
            if "lambdaFunctionScheduledEventDetails" in event}  # fmt: skip
    return arns | {one["resource"] for one in details if ":function:" in one.get("resource", "")}


# --- side by side ----------------------------------------------------------------------------------------------------


def test_every_loop_learns_and_serves_in_every_stage(account: Account, first_models: dict[tuple[str, str], Execution]):
    for which, learning in first_models.items():
        assert learning.run.status == "SUCCEEDED", (which, learning.run)
        live = _live(account[which])
        assert live["champion"] == learning.name
        assert account[which].endpoint()["EndpointName"] == keys.endpoint_name(*which)
        _, answer = account[which].predict([{"a": 0.1, "b": 0.9}])
        assert answer["model_version"] == learning.name


def test_a_name_says_whose_a_job_a_model_or_a_configuration_is(account: Account, deployed: Deployed):
    sagemaker = account[OVER].client("sagemaker")
    listed = {
        "list_training_jobs": ("TrainingJobSummaries", "TrainingJobName"),
        "list_processing_jobs": ("ProcessingJobSummaries", "ProcessingJobName"),
        "list_models": ("Models", "ModelName"),
    }
    for operation, (many, name) in listed.items():
        found = [one[name] for page in sagemaker.get_paginator(operation).paginate() for one in page[many]]
        for which in ALL:
            mine = [one for one in found if one.startswith(keys.resource_prefix(*which))]
            assert len(mine) == RUNS[which], (operation, which, found)
        assert len(found) == sum(RUNS.values())


def test_a_package_s_approval_reaches_its_own_deployment_only(account: Account, deployed: Deployed):
    for which in ALL:
        journey = account[which]
        group = journey.deployment["ModelPackageGroupName"]
        packages = journey.client("sagemaker").list_model_packages(ModelPackageGroupName=group)
        arns = {one["ModelPackageArn"] for one in packages["ModelPackageSummaryList"]}
        models = journey.partition("models").values()
        assert {model["model_package_arn"] for model in models} == arns
        assert len(journey.partition("approvals")) == len(models)


def test_a_ledger_tells_of_its_own_runs_only(account: Account, deployed: Deployed):
    for which in ALL:
        runs = set(account[which].partition("runs"))
        told = {detail["run_id"] for detail in account[which].told("Learning Concluded")}
        assert told == runs, which
        assert len(runs) == RUNS[which]


def test_metrics_of_two_stages_are_told_apart(account: Account, deployed: Deployed):
    client = account[OVER].client("cloudwatch")
    for loop, stage in ALL:
        dimensions = [{"Name": "loop", "Value": loop}, {"Name": "stage", "Value": stage}]
        found = client.list_metrics(Namespace="Perennial", MetricName="RowsAccepted", Dimensions=dimensions)
        assert [sorted(one["Value"] for one in metric["Dimensions"]) for metric in found["Metrics"]] == [
            sorted((loop, stage))
        ]


def test_status_shows_the_alarms_of_its_own_deployment_only(account: Account, deployed: Deployed):
    shown = {which: set(gather(account[which].deployment).alarms) for which in ALL}
    for which, alarms in shown.items():
        assert {f"{keys.stack_name(*which, 'Serving')}-RollBackBlue"} <= alarms
        for other in ALL:
            assert other == which or alarms.isdisjoint(shown[other])


# --- deployed in mid-canary ------------------------------------------------------------------------------------------


def test_p74_a_deployment_in_mid_canary_changes_neither_weights_nor_the_rollout(deployed: Deployed):
    for what in ("weights", "config", "live", "executions", "models"):
        assert deployed.before[what] == deployed.after[what], what


def test_it_has_changed_what_is_called_from_then_on(account: Account, deployed: Deployed):
    before, after = deployed.before["functions"], deployed.after["functions"]
    assert before.keys() == after.keys()
    for handler in before:
        assert before[handler][0] != after[handler][0], f"{handler}: code"
        assert before[handler][1] != after[handler][1], f"{handler}: policy"


def test_p74_the_rollout_went_on_under_the_code_and_the_policy_that_it_began_with(account: Account, deployed: Deployed):
    """The later code fails at once; under the later policy a rollout would end for want of a million requests."""
    assert deployed.over.rollout.run.status == "SUCCEEDED", deployed.over.rollout.run
    assert deployed.over.learning.run.status == "SUCCEEDED", deployed.over.learning.run
    called = _called(account[OVER], deployed.over.rollout)
    assert len(called) == 4
    assert {arn.rpartition(":")[2] for arn in called} == {"1"}
    assert account[OVER].told("Model Rolled Back") == []


def test_the_next_rollout_would_call_the_later_code(account: Account, deployed: Deployed):
    machine = (
        account[OVER]
        .client("stepfunctions")
        .describe_state_machine(stateMachineArn=account[OVER].deployment["RolloutMachineArn"])
    )
    assert ":2" in machine["definition"]
    assert not any(f'{arn}"' in machine["definition"] for arn in _called(account[OVER], deployed.over.rollout))


def test_both_ways_of_deploying_end_with_the_same_champion_weights_and_state(deployed: Deployed):
    over, beside = deployed.over, deployed.beside
    assert over.weights == beside.weights == {"green": 1.0}
    for what in ("dataset_id", "status", "verdict", "hyperparameters"):
        assert over.champion.get(what) == beside.champion.get(what), what
    assert over.champion["status"] == "champion"
    states = [
        (state["champion_slot"], sorted(state["slots"]), state.get("rollout"), state.get("previous_slot"))
        for state in (over.state, beside.state)
    ]
    assert states[0] == states[1]


def test_status_says_that_a_rollout_is_under_way_by_an_earlier_deployment(deployed: Deployed):
    assert "earlier deployment" in (deployed.after["status"].notice or "")


def test_versions_stay_while_an_execution_calls_them_and_go_when_none_does(account: Account, deployed: Deployed):
    """In mid-canary, right after the deployment, the learning and the rollout machine have an execution each."""
    during, afterwards = deployed.pruned
    called = {":".join(arn.split(":")[-2:]) for arn in _called(account[OVER], deployed.over.rollout)}
    assert called <= set(during.kept)
    assert called <= set(afterwards.deleted)
    assert {one.rpartition(":")[2] for one in afterwards.kept} == {"2"}


def test_deploying_one_stage_touches_nothing_of_the_others(deployed: Deployed):
    assert deployed.idle_before == deployed.idle_after


# --- destroyed -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def destroyed(account: Account, deployed: Deployed) -> dict[tuple[str, str], Any]:
    """Three deployments before and after the fourth goes."""
    others = [which for which in ALL if which != OVER]
    before = {which: _standing(account[which]) for which in others}
    account[OVER].cloud.cdk("destroy", "--all", "--app", str(account[OVER].assembly), "--force")
    return {which: (before[which], _standing(account[which])) for which in others}


def test_destroying_one_stage_leaves_the_others_as_they_were(account: Account, destroyed: dict[Any, Any]):
    for which, (before, after) in destroyed.items():
        assert before == after, which
        _, answer = account[which].predict([{"a": 0.1, "b": 0.9}])
        assert answer["model_version"] == after["live"]["champion"]


def test_destroying_one_stage_leaves_nothing_of_it(account: Account, destroyed: dict[Any, Any]):
    sagemaker, functions = account[BESIDE].client("sagemaker"), account[BESIDE].client("lambda")
    with pytest.raises(ClientError):
        sagemaker.describe_endpoint(EndpointName=keys.endpoint_name(*OVER))
    models = [one["ModelName"] for page in sagemaker.get_paginator("list_models").paginate() for one in page["Models"]]
    assert [name for name in models if name.startswith(keys.resource_prefix(*OVER))] == []
    listed = functions.get_paginator("list_functions").paginate(FunctionVersion="ALL")
    left = [one["FunctionArn"] for page in listed for one in page["Functions"]]
    gone = tuple(f"{keys.stack_name(*OVER, part)}-" for part in keys.STACK_PARTS)
    assert [arn for arn in left if arn.split(":")[6].startswith(gone)] == []
