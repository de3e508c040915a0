"""freeze_dataset declines before a job is paid when the chosen rows lack labels, however many labels others have."""

from __future__ import annotations

from typing import Any

import pytest

from functions import freeze_dataset, join_labels, validate_batch
from perennial.aws.history import batches_until, labels_until
from perennial.aws.labelled import labelled_rows
from perennial.dataset import DatasetVersion
from perennial.dataset import freeze as freeze_rule
from perennial.errors import DatasetTooSmall
from tests.builders import day, make_loop
from tests.functions.builders import make_csv, make_label_csv
from tests.functions.world import World

RUN = "a" * 40
ROWS = 60


def land(world: World, days: range, *, labelled: range, rows: int = ROWS, labels_late_by: float = 1) -> None:
    """Batches of `days`, and label files of the days in `labelled`, whether or not their batches landed."""
    for number in days:
        world.run(validate_batch, world.land(make_csv(number, rows=ROWS), f"batches/{number}.csv"))
    for number in labelled:
        file = make_label_csv(number, rows=rows, labeled_at=day(number + labels_late_by))
        world.run(join_labels, world.land(file, f"labels/{number}.csv"))
    world.announced()


def freeze(world: World) -> dict[str, Any]:
    answer: dict[str, Any] = world.run(freeze_dataset, {"run_id": RUN, "as_of": day(40).isoformat()})
    return answer


def refused(world: World) -> str:
    with pytest.raises(DatasetTooSmall) as refusal:
        freeze(world)
    assert world.announced() == []
    assert [key for key in world.objects() if "datasets/" in key or "references/" in key] == []
    return str(refusal.value)


def test_labels_of_rows_that_are_not_in_the_dataset_count_for_nothing(world: World) -> None:
    land(world, range(1, 8), labelled=range(20, 30))

    assert refused(world).startswith(
        "a dataset must have at least 200 labelled rows. Got 0 instead (420 rows in 7 batches; 7 of 7 batches have "
    )


def test_too_few_labels_are_refused_with_how_many_there_are(world: World) -> None:
    land(world, range(1, 8), labelled=range(1, 8), rows=20)
    land(world, range(0), labelled=range(20, 30))

    assert "must have at least 200 labelled rows. Got 140 instead" in refused(world)


def test_a_holdout_without_labels_is_refused_although_training_has_enough(world: World) -> None:
    land(world, range(1, 11), labelled=range(1, 9))

    assert "must have a labelled row to hold out. Got none instead" in refused(world)


def test_labels_made_before_their_records_are_no_labels(world: World) -> None:
    land(world, range(1, 8), labelled=range(1, 8), labels_late_by=-1)

    assert "Got 0 instead" in refused(world)


def test_enough_labels_among_many_of_others_are_found(world: World) -> None:
    land(world, range(1, 8), labelled=range(1, 8))
    land(world, range(0), labelled=range(20, 26))

    assert freeze(world)["run_id"] == RUN


def test_where_silence_is_a_label_no_label_file_is_needed(world: World) -> None:
    land(world, range(1, 8), labelled=range(0))
    silent = make_loop(labels={"negative_after": "1d"})
    version = _version(world, silent)

    found = labelled_rows(_lake(world), version, silent.contract, silent.labels, wanted=200)

    assert sum(found.values()) == version.rows


def test_looking_stops_when_there_is_enough(world: World) -> None:
    land(world, range(1, 11), labelled=range(1, 11))
    loop = make_loop()
    version = _version(world, loop)

    few = labelled_rows(_lake(world), version, loop.contract, loop.labels, wanted=1)
    every = labelled_rows(_lake(world), version, loop.contract, loop.labels, wanted=10_000)

    assert few["train"] and few["holdout"]
    assert sum(few.values()) == 2 * ROWS
    assert every == {
        part: sum(batch.rows for batch in batches)
        for part, batches in (("train", version.train), ("holdout", version.holdout))
    }


def _lake(world: World) -> Any:
    from perennial.aws.lake import Lake
    from tests.functions.world import LAKE

    return Lake(world.clients.s3, LAKE)


def _version(world: World, loop: Any) -> DatasetVersion:
    return freeze_rule(
        [batch.entry for batch in batches_until(world.catalog, "demo", day(40))],
        labels_until(world.catalog, "demo", day(40)),
        loop.training,
        loop.labels,
        loop="demo",
        run_id=RUN,
        as_of=day(40),
    )
