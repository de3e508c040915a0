"""A challenger takes traffic step by step; the endpoint answers from the models that it says."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tests.loop.conftest import Cycle
from tests.loop.journey import Journey
from tests.waiting import until

pytestmark = pytest.mark.local_cloud

CALLS, STANDARD_ERRORS = 1000, 3.0
WEIGHTS = {"champion": 9.0, "challenger": 3.0}


def test_the_weights_move_in_the_steps_of_the_policy_to_the_challenger(promoted: Cycle):
    challenger = promoted.learning.output["rollout"]["Output"]
    assert challenger["status"] == "promoted"
    shares = [weights for weights in promoted.watch.weights if len(weights) == 2]
    (slot,) = {max(shares[-1], key=shares[-1].__getitem__)}
    found = [round(weights[slot] / sum(weights.values()), 3) for weights in shares if sum(weights.values())]
    assert found == sorted(found)
    assert {0.2, 0.5} <= set(found)
    assert found[-1] > 0.98


def test_clients_saw_no_error_while_the_challenger_took_over(promoted: Cycle):
    assert not [call.error for call in promoted.calls if call.error]
    assert set(Counter(call.variant for call in promoted.calls)) == {"blue", "green"}


def test_the_former_champion_leaves_and_the_new_one_is_the_only_variant(journey: Journey, promoted: Cycle):
    described = journey.aws("sagemaker", "describe-endpoint", "--endpoint-name", journey.deployment["EndpointName"])
    assert described["EndpointStatus"] == "InService"
    (variant,) = described["ProductionVariants"]
    live = journey.client("dynamodb").get_item(
        TableName=journey.deployment["CatalogTable"], Key={"pk": {"S": "bikeshare#live"}, "sk": {"S": "now"}}
    )["Item"]
    assert promoted.run_id in str(live)
    assert variant["VariantName"] in str(live)


@pytest.mark.parametrize("rows_as", ["application/json"])
def test_the_endpoint_answers_as_the_artifact_did_in_its_evaluation(journey: Journey, promoted: Cycle, rows_as: str):
    smoke = journey.lake_json(f"reports/evaluations/{promoted.run_id}/smoke.json")
    _, answer = journey.predict(smoke["rows"])
    assert answer["model_version"] == promoted.run_id
    assert len(answer["predictions"]) == len(smoke["predictions"]) > 0
    for got, expected in zip(answer["predictions"], smoke["predictions"], strict=True):
        assert got["prediction"] == expected["prediction"]
        assert got["score"] == pytest.approx(expected["score"], abs=smoke["tolerance"])


@dataclass(frozen=True)
class Pair:
    """An endpoint of two real models whose weights nothing but the test moves."""

    name: str
    versions: dict[str, str]
    row: dict[str, object]


@pytest.fixture(scope="module")
def pair(journey: Journey, first_model: Cycle, promoted: Cycle) -> Iterator[Pair]:
    """Both models of the canary on an endpoint of their own, weights set by UpdateEndpointWeightsAndCapacities."""
    sagemaker, name = journey.client("sagemaker"), "journey-pair"
    versions = {"champion": first_model.run_id, "challenger": promoted.run_id}
    models = {
        sagemaker.describe_model(ModelName=one["ModelName"])["PrimaryContainer"]["Environment"]["MODEL_VERSION"]: one
        for one in sagemaker.list_models()["Models"]
    }
    variants = [
        {
            "VariantName": variant,
            "ModelName": models[version]["ModelName"],
            "InitialInstanceCount": 1,
            "InstanceType": "ml.m5.large",
            "InitialVariantWeight": 1.0,
        }
        for variant, version in versions.items()
    ]
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=variants)
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)

    def settled(wanted: dict[str, float]) -> bool:
        described = sagemaker.describe_endpoint(EndpointName=name)
        found = {one["VariantName"]: one["CurrentWeight"] for one in described.get("ProductionVariants", [])}
        return described["EndpointStatus"] == "InService" and found == wanted

    until(lambda: settled(dict.fromkeys(versions, 1.0)), what="the pair in service")
    sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=name,
        DesiredWeightsAndCapacities=[{"VariantName": one, "DesiredWeight": weight} for one, weight in WEIGHTS.items()],
    )
    until(lambda: settled(WEIGHTS), what="the new weights")
    row = journey.lake_json(f"reports/evaluations/{promoted.run_id}/smoke.json")["rows"][0]
    yield Pair(name, versions, row)
    sagemaker.delete_endpoint(EndpointName=name)
    sagemaker.delete_endpoint_config(EndpointConfigName=name)
    journey.client("logs").delete_log_group(logGroupName=f"/aws/sagemaker/Endpoints/{name}")


def _off(journey: Journey, pair: Pair) -> float:
    """How many standard errors the challenger's share of a thousand calls is off its weight's."""
    with ThreadPoolExecutor(4) as pool:
        answered = Counter(pool.map(lambda _: journey.predict([pair.row], endpoint=pair.name)[0], range(CALLS)))
    assert answered.total() == CALLS
    share = WEIGHTS["challenger"] / sum(WEIGHTS.values())
    return abs(answered["challenger"] - CALLS * share) / math.sqrt(CALLS * share * (1 - share))


def test_a_thousand_calls_are_shared_as_the_weights_say(journey: Journey, pair: Pair):
    # One honest thousand in 370 lies further off than this; two in a row, one in 137,000.
    assert _off(journey, pair) <= STANDARD_ERRORS or _off(journey, pair) <= STANDARD_ERRORS


def test_a_target_variant_is_obeyed_whatever_the_weights(journey: Journey, pair: Pair):
    for variant, version in pair.versions.items():
        for _ in range(20):
            answered, answer = journey.predict([pair.row], endpoint=pair.name, TargetVariant=variant)
            assert (answered, answer["model_version"]) == (variant, version)


def test_the_aws_cli_invokes_the_endpoint(journey: Journey, promoted: Cycle, tmp_path):
    import json

    smoke = journey.lake_json(f"reports/evaluations/{promoted.run_id}/smoke.json")
    body, answer = tmp_path / "body.json", tmp_path / "answer.json"
    body.write_text(json.dumps({"instances": smoke["rows"][:1]}))
    journey.aws(
        "sagemaker-runtime", "invoke-endpoint", "--endpoint-name", journey.deployment["EndpointName"],
        "--content-type", "application/json", "--body", f"file://{body}", str(answer),
    )  # fmt: skip
    (prediction,) = json.loads(answer.read_text())["predictions"]
    assert prediction["score"] == pytest.approx(smoke["predictions"][0]["score"], abs=smoke["tolerance"])
