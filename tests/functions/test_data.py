"""join_labels, freeze_dataset, check_drift, ingest_capture, check_performance: what functions make of rows."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from typing import Any

import pyarrow.parquet as pq
import pytest

from functions import check_drift, check_performance, freeze_dataset, ingest_capture, join_labels, validate_batch
from perennial import keys
from perennial.aws.history import labels_until
from perennial.dataset import DatasetVersion
from perennial.drift import DriftReport
from perennial.errors import DatasetTooSmall, EventInvalid
from perennial.events import DatasetFrozen, DriftDetected, LabelsJoined, LabelsRejected, PerformanceFell
from perennial.project import Loop
from perennial.trigger import Streak
from tests.builders import NOW, day, make_loop, make_model_evaluation
from tests.functions.builders import make_csv, make_label_csv, put_evaluation
from tests.functions.world import ENDPOINT, LAKE, World, load_event, messages, on_bus

RUN = "a" * 40
ROWS = 60


def land_batches(world: World, numbers: range, *, labels: bool = True, mean: float = 0.0) -> list[Any]:
    """Validated batches of some days, with their labels a day later; gives what was announced."""
    for number in numbers:
        world.run(validate_batch, world.land(make_csv(number, rows=ROWS, mean=mean), f"batches/{number}.csv"))
        if labels:
            world.run(join_labels, world.land(make_label_csv(number, rows=ROWS), f"labels/{number}.csv"))
    return world.announced()


def freeze(world: World, run_id: str = RUN, *, as_of: float = 40, **more: Any) -> dict[str, Any]:
    answer: dict[str, Any] = world.run(freeze_dataset, {"run_id": run_id, "as_of": day(as_of).isoformat(), **more})
    return answer


def crown(world: World, run_id: str = RUN) -> None:
    """The run's model is the champion."""
    slot = {"model_version": run_id, "model_name": "m", "model_data_url": f"s3://{LAKE}/models/{run_id}.tar.gz"}
    world.catalog.put(keys.live_item("demo"), {"champion_slot": "blue", "models": {"blue": slot}})
    run = world.catalog.get(keys.run_item("demo", run_id)) or {}
    world.catalog.put(keys.model_item("demo", run_id), {"version_uri": run["dataset"]["version_uri"]})


# --- labels ---


def test_a_label_file_is_curated_recorded_and_announced_with_its_time(world: World) -> None:
    answer = world.run(join_labels, world.land(make_label_csv(3, rows=20), "labels/3.csv"))

    assert answer == {"batchItemFailures": []}
    [event] = world.announced()
    assert isinstance(event, LabelsJoined)
    assert (20, day(4)) == (event.rows, event.as_of)
    [entry] = labels_until(world.catalog, "demo")
    assert pq.read_table(io.BytesIO(world.objects()[entry.curated_key])).num_rows == 20


def test_labels_delivered_twice_are_joined_once(world: World) -> None:
    event = world.land(make_label_csv(3), "labels/3.csv")
    world.run(join_labels, event)
    items, said = world.items(), world.announced()

    world.run(join_labels, event)

    assert (items, 1, []) == (world.items(), len(said), world.announced())


def test_labels_without_times_are_of_the_newest_event_that_was_known(world: World) -> None:
    land_batches(world, range(1, 3), labels=False)
    lines = make_label_csv(2, rows=10).decode().splitlines()
    bare = "\n".join(line.rsplit(",", 1)[0] for line in lines).encode()

    world.run(join_labels, world.land(bare, "labels/2.csv"))

    [event] = world.announced()
    assert isinstance(event, LabelsJoined)
    assert event.as_of < day(3)
    assert None is next(iter(labels_until(world.catalog, "demo"))).as_of


def test_a_label_file_that_breaks_the_contract_is_refused_whole(world: World) -> None:
    world.run(join_labels, world.land(b"id,y\na,7\nb,8\nc,9\n", "labels/bad.csv"))

    [event] = world.announced()
    assert isinstance(event, LabelsRejected)
    assert list(labels_until(world.catalog, "demo")) == []


def test_a_batch_among_the_labels_is_refused(world: World) -> None:
    assert world.run(join_labels, world.land(make_csv(), "batches/1.csv")) == {"batchItemFailures": []}
    assert world.items() == {}


# --- freeze ---


def test_a_dataset_version_is_written_before_it_is_recorded_and_has_all_the_machine_needs(world: World) -> None:
    land_batches(world, range(1, 11))

    answer = freeze(world, hyperparameters={"depth": 3})

    prefix = answer["version_uri"].removeprefix(f"s3://{LAKE}/")
    version = DatasetVersion.model_validate_json(world.objects()[f"{prefix}version.json"])
    manifest = json.loads(world.objects()[answer["manifest_uri"].removeprefix(f"s3://{LAKE}/")])
    assert (RUN, answer["dataset_id"]) == (version.run_id, version.dataset_id)
    assert {"prefix": f"s3://{LAKE}/"} == manifest[0]
    assert set(manifest[1:]) <= set(world.objects())
    assert Loop.from_json(world.objects()[f"{prefix}loop.json"]) == make_loop()
    assert answer["champion_model_uri"].removeprefix(f"s3://{LAKE}/") in world.objects()
    assert all(isinstance(value, str) for value in answer["hyperparameters"].values())
    assert answer["hyperparameters"]["depth"] == "3"
    assert max(len(answer["training_job_name"]), len(answer["evaluation_job_name"])) <= 63
    [event] = world.announced()
    assert isinstance(event, DatasetFrozen)


def test_frozen_twice_is_frozen_once_even_if_more_has_landed_meanwhile(world: World) -> None:
    land_batches(world, range(1, 6))
    first = freeze(world)
    world.announced()
    land_batches(world, range(6, 8))

    assert first == freeze(world)


def test_two_runs_on_the_same_history_share_one_dataset_but_not_their_version_files(world: World) -> None:
    land_batches(world, range(1, 6))

    one, two = freeze(world, "1" * 40), freeze(world, "2" * 40)

    assert one["dataset_id"] == two["dataset_id"]
    assert one["manifest_uri"] == two["manifest_uri"]
    assert one["version_uri"] != two["version_uri"]


def test_too_little_data_says_so_by_its_own_error(world: World) -> None:
    land_batches(world, range(1, 2))

    with pytest.raises(DatasetTooSmall):
        freeze(world)
    assert world.announced() == []


def test_what_the_champion_has_learnt_never_judges_it(world: World) -> None:
    land_batches(world, range(1, 11))
    freeze(world, "1" * 40, as_of=11)
    crown(world, "1" * 40)
    land_batches(world, range(11, 14))

    second = freeze(world, "2" * 40)

    def version(run_id: str) -> DatasetVersion:
        uri = (world.catalog.get(keys.run_item("demo", run_id)) or {})["dataset"]["version_uri"]
        return DatasetVersion.model_validate_json(world.objects()[uri.removeprefix(f"s3://{LAKE}/") + "version.json"])

    learnt = {batch.batch_id for batch in version("1" * 40).train}
    assert not learnt & {batch.batch_id for batch in version("2" * 40).holdout}
    assert second["champion_version"] == "1" * 40


# --- drift ---


def drift_event(said: list[Any]) -> dict[str, Any]:
    return on_bus(next(event for event in reversed(said) if event.detail_type == "Batch Accepted"))


@pytest.fixture
def watched(world: World) -> World:
    """A champion trained on 24 calm days; windows may be as small as a batch of the tests."""
    world.deploy(make_loop(triggers={"drift": {"min_rows": 30}}))
    land_batches(world, range(1, 25))
    freeze(world, as_of=26)
    crown(world)
    world.announced()
    return world


def test_with_no_champion_it_does_nothing_but_say_so(world: World) -> None:
    said = land_batches(world, range(1, 2), labels=False)

    answer = world.run(check_drift, drift_event(said))

    assert "no champion" in answer["reason"]
    assert world.announced() == []


def test_a_shifted_batch_is_drift_with_a_report_and_an_event(watched: World) -> None:
    said = land_batches(watched, range(27, 28), labels=False, mean=3.0)
    event = drift_event(said)

    answer = watched.run(check_drift, event)

    assert (answer["verdict"], answer["columns"]) == ("drifted", ["x"])
    kept = json.loads(watched.objects()[answer["report_key"]])
    assert list(DriftReport.model_validate(kept["report"]).drifted_columns) == ["x"]
    [told] = watched.announced()
    assert isinstance(told, DriftDetected)
    assert told.columns == ("x",)
    assert Streak.model_validate(watched.catalog.get(keys.streak_item("demo", "drift"))).length == 1


def test_a_drifted_window_has_a_page_that_shows_it_beside_the_windows_before(watched: World) -> None:
    answers = [
        watched.run(check_drift, drift_event(land_batches(watched, range(day, day + 1), labels=False, mean=3.0)))
        for day in (27, 28)
    ]

    stored = watched.objects()
    page = stored[answers[1]["page_key"]].decode()
    assert json.loads(stored[answers[1]["report_key"]])["page_key"] == answers[1]["page_key"]
    assert "Drift check of demo" in page
    assert page.count(", drifted</title>") >= 2
    head = watched.clients.s3.head_object(Bucket=watched.lake.bucket, Key=answers[1]["page_key"])
    assert head["ContentType"].startswith("text/html")


def test_a_steady_window_has_no_page(watched: World) -> None:
    answer = watched.run(check_drift, drift_event(land_batches(watched, range(27, 28), labels=False)))

    assert answer["page_key"] is None
    assert not [key for key in watched.objects() if key.endswith(".html")]


def test_a_calm_batch_is_steady_and_counts_as_such(watched: World) -> None:
    answer = watched.run(check_drift, drift_event(land_batches(watched, range(27, 28), labels=False)))

    assert answer["verdict"] == "steady"
    assert watched.announced() == []
    streak = Streak.model_validate(watched.catalog.get(keys.streak_item("demo", "drift")))
    assert [window.positive for window in streak.windows] == [False]


def test_drift_checked_twice_is_the_same_and_told_the_same(watched: World) -> None:
    event = drift_event(land_batches(watched, range(27, 28), labels=False, mean=3.0))
    first = watched.run(check_drift, event)
    objects = watched.objects()
    watched.now += timedelta(minutes=3)

    assert first == watched.run(check_drift, event)
    assert objects == watched.objects()
    one, two = watched.announced()
    assert one == two


def test_what_the_reference_already_holds_is_not_checked_again(watched: World) -> None:
    said = land_batches(watched, range(20, 21), labels=False, mean=0.1)

    assert watched.run(check_drift, drift_event(said))["verdict"] == "skipped"


def test_a_check_reads_as_many_profiles_after_much_history_as_after_little(watched: World) -> None:
    read: list[str] = []
    watched.clients.s3.meta.events.register(
        "before-call.s3.GetObject", lambda params, **_: read.append(params["url_path"])
    )
    counts = []
    for number in (27, 40):
        said = land_batches(watched, range(number, number + 1), labels=False)
        watched.run(check_drift, drift_event(said))
        read.clear()
        watched.run(check_drift, drift_event(said))
        counts.append(sum("profiles/batches" in path for path in read))

    assert counts == [1, 1]


def test_the_metrics_of_a_check_are_the_deployments(watched: World, capsys: pytest.CaptureFixture[str]) -> None:
    watched.run(check_drift, drift_event(land_batches(watched, range(27, 28), labels=False, mean=3.0)))

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    [emf] = [line for line in lines if "DriftedColumns" in line]
    assert emf["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["loop", "stage"]]
    assert emf["DriftedColumns"] == [1.0]


# --- capture and performance ---


def capture(
    world: World, predictions: list[dict[str, Any]], *, version: str = RUN, variant: str = "blue"
) -> dict[str, Any]:
    """A capture file of one request; gives the event of its arrival."""
    line = load_event("capture_lines")[0]
    answer = {"model_version": version, "predictions": predictions}
    line["captureData"]["endpointOutput"]["data"] = json.dumps(answer)
    line["eventMetadata"]["inferenceTime"] = (world.now - timedelta(hours=1)).isoformat()
    key = f"{keys.CAPTURE_PREFIX}{ENDPOINT}/{variant}/2026/03/01/11/{len(predictions)}-{version[:4]}.jsonl"
    version_id = world.clients.s3.put_object(Bucket=LAKE, Key=key, Body=json.dumps(line).encode() + b"\n")["VersionId"]
    return world.arrival(key, version_id, bucket=LAKE)


def predicted(rows: int = ROWS, *, day_number: int = 30, right: float = 1.0) -> list[dict[str, Any]]:
    """Predictions of a day's records, of which a share is right."""
    told = []
    for row in range(rows):
        truth = (row + 1) % 2
        said = truth if row < right * rows else 1 - truth
        told.append({"record_id": f"d{day_number}-{row}", "prediction": said, "score": 0.9 if said else 0.1})
    return told


def scored(world: World, *, right: float, flipped: bool = False) -> Any:
    """Predictions are captured, their labels come; gives what check_performance makes of it."""
    metric = {"metric": "accuracy"}
    world.deploy(make_loop(gate=metric, triggers={"performance": {"min_rows": 50, "max_drop": 0.05}}))
    land_batches(world, range(1, 11))
    freeze(world, as_of=12)
    crown(world)
    put_evaluation(world, RUN, candidate=make_model_evaluation(0.95))
    world.run(ingest_capture, capture(world, predicted(right=right)))
    world.run(join_labels, world.land(make_label_csv(30, rows=ROWS, labeled_at=day(31)), "labels/30.csv"))
    labels = next(event for event in world.announced() if isinstance(event, LabelsJoined) and event.as_of == day(31))
    return world.run(check_performance, on_bus(labels)), on_bus(labels)


def test_a_capture_file_becomes_predictions(world: World) -> None:
    answer = world.run(ingest_capture, capture(world, predicted(3)))

    assert answer == {"batchItemFailures": []}
    [(_, item)] = world.catalog.query(keys.predictions_partition("demo"))
    table = pq.read_table(io.BytesIO(world.objects()[item["predictions_key"]]))
    assert (item["rows"], item["variant"], item["model_versions"]) == (3, "blue", [RUN])
    assert table["prediction"].to_pylist() == ["1", "0", "1"]


def test_a_capture_file_ingested_twice_is_one(world: World) -> None:
    event = capture(world, predicted(3))
    world.run(ingest_capture, event)
    items, objects = world.items(), world.objects()

    world.run(ingest_capture, event)

    assert (items, objects) == (world.items(), world.objects())


def test_lines_that_cannot_be_read_lose_nothing_but_themselves(world: World) -> None:
    good = load_event("capture_lines")[0]
    body = b"not json\n\n" + json.dumps(good).encode() + b'\n{"captureData": {}}\n'
    key = f"{keys.CAPTURE_PREFIX}{ENDPOINT}/blue/x.jsonl"
    version = world.clients.s3.put_object(Bucket=LAKE, Key=key, Body=body)["VersionId"]

    world.run(ingest_capture, world.arrival(key, version, bucket=LAKE))

    [(_, item)] = world.catalog.query(keys.predictions_partition("demo"))
    assert (item["rows"], item["unreadable"]) == (1, 2)


def test_kinds_of_answers_are_counted_for_the_canary(world: World) -> None:
    world.run(ingest_capture, capture(world, predicted(4, right=0.5)))

    [(_, item)] = world.catalog.query(keys.predictions_partition("demo"))
    assert item["answers"] == {RUN: {"9": 2, "1": 2}}


def test_captures_of_another_endpoint_are_refused(world: World) -> None:
    key = f"{keys.CAPTURE_PREFIX}other/blue/x.jsonl"
    version = world.clients.s3.put_object(Bucket=LAKE, Key=key, Body=b"{}")["VersionId"]

    assert world.run(ingest_capture, world.arrival(key, version, bucket=LAKE)) == {"batchItemFailures": []}
    assert world.items() == {}


def test_a_champion_that_predicts_as_evaluated_holds(world: World) -> None:
    answer, _ = scored(world, right=0.95)

    assert (answer["outcome"], answer["scored"]) == ("held", [RUN])
    assert world.announced() == []


def test_a_champion_that_fell_is_announced_with_its_figures(world: World) -> None:
    answer, _ = scored(world, right=0.5)

    assert answer["outcome"] == "fell"
    [event] = world.announced()
    assert isinstance(event, PerformanceFell)
    assert (event.metric, event.value, event.expected, event.rows) == ("accuracy", 0.5, 0.95, ROWS)
    assert Streak.model_validate(world.catalog.get(keys.streak_item("demo", "performance"))).length == 1


def test_a_score_made_twice_is_kept_once_and_told_the_same(world: World) -> None:
    _, event = scored(world, right=0.5)
    items = world.items()
    world.now += timedelta(minutes=2)

    world.run(check_performance, event)

    assert items == world.items()
    assert len({said.model_dump_json() for said in world.announced()}) == 1


def test_labels_without_predictions_score_nothing(world: World) -> None:
    world.run(join_labels, world.land(make_label_csv(3), "labels/3.csv"))
    [labels] = world.announced()

    assert world.run(check_performance, on_bus(labels)) == {"outcome": "skipped", "scored": []}


def test_only_predictions_of_the_labels_records_are_read(world: World) -> None:
    """A check costs what its own window costs, however much was predicted before and after."""
    for number in (10, 30, 50):
        world.run(ingest_capture, capture(world, predicted(20 + number, day_number=number)))
    world.run(join_labels, world.land(make_label_csv(30, rows=20), "labels/30.csv"))
    [labels] = world.announced()
    read: list[str] = []
    world.clients.s3.meta.events.register(
        "before-call.s3.GetObject", lambda params, **_: read.append(params["url_path"])
    )

    assert world.run(check_performance, on_bus(labels))["scored"] == [RUN]
    assert sum("predictions/" in path for path in read) == 1


def test_every_version_that_served_is_scored(world: World) -> None:
    world.run(ingest_capture, capture(world, predicted(20), version="v1"))
    world.run(ingest_capture, capture(world, predicted(20, right=0.5), version="v2", variant="green"))
    world.run(join_labels, world.land(make_label_csv(30, rows=20), "labels/30.csv"))
    [labels] = world.announced()

    world.run(check_performance, on_bus(labels))

    kept = {sk.rpartition("#")[2]: item for (pk, sk), item in world.items().items() if pk == "demo#scores"}
    assert {v: (i["variant"], i["rows"]) for v, i in kept.items()} == {"v1": ("blue", 20), "v2": ("green", 20)}


@pytest.mark.parametrize("function", [check_drift, check_performance])
def test_an_event_of_another_loop_is_refused(world: World, function: Any) -> None:
    event = load_event("bus_batch_accepted")
    event["detail"]["loop"] = "other"

    with pytest.raises(EventInvalid):
        world.run(function, event)


def test_several_label_files_make_one_window(world: World) -> None:
    events = [world.land(make_label_csv(n, rows=10), f"labels/{n}.csv")["Records"][0] for n in (1, 2, 3)]

    world.run(join_labels, messages(*(json.loads(event["body"]) for event in events)))

    assert len(list(labels_until(world.catalog, "demo", NOW))) == 3
