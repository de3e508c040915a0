"""The reference as freeze_dataset writes it and checks read it."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from perennial import keys
from perennial.aws.history import batches_until
from perennial.aws.lake import ObjectGone
from perennial.aws.reference import read_reference
from perennial.dataset import DatasetVersion
from perennial.errors import CalibrationImpossible
from perennial.profile import Profile, merge
from tests.builders import make_loop
from tests.functions.test_data import RUN, freeze, land_batches
from tests.functions.world import LAKE, World


def test_a_reference_reads_as_the_profiles_that_the_model_was_trained_on(world: World) -> None:
    land_batches(world, range(1, 11))
    answer = freeze(world)

    reference = read_reference(world.lake, RUN)

    key = answer["version_uri"].removeprefix(f"s3://{LAKE}/")
    version = DatasetVersion.model_validate_json(world.objects()[f"{key}version.json"])
    trained = {batch.batch_id for batch in version.train}
    used = [batch for batch in batches_until(world.catalog, "demo") if batch.entry.batch_id in trained]
    assert reference.model_version == RUN
    assert max(batch.last_event_at for batch in version.batches) == reference.until
    assert merge(Profile.from_bytes(world.lake.get(batch.profile_key)) for batch in used) == reference.profile
    assert reference.seasons == {}


def test_seasons_and_calibration_survive_being_stored(world: World) -> None:
    world.deploy(make_loop(triggers={"drift": {"season": "weekday", "min_reference_batches": 3}}))
    land_batches(world, range(1, 11))
    freeze(world)

    reference = read_reference(world.lake, RUN)

    assert len(reference.seasons) == 7
    assert all(0 < profile.rows <= reference.profile.rows for profile in reference.seasons.values())
    assert json.loads(reference.calibration.to_json()) == reference.stored["calibration"]


def test_a_reference_covers_its_newest_event_and_nothing_after_it(world: World) -> None:
    land_batches(world, range(1, 11))
    freeze(world)
    reference = read_reference(world.lake, RUN)

    newest = max(batch.entry.last_event_at for batch in batches_until(world.catalog, "demo"))

    assert reference.covers(newest)
    assert not reference.covers(newest + timedelta(microseconds=1))


def test_who_needs_the_profile_alone_is_not_stopped_by_a_calibration_of_another_version(world: World) -> None:
    land_batches(world, range(1, 11))
    freeze(world)
    stored = world.lake.get_json(keys.reference_key(RUN))
    stored["calibration"]["version"] = 0
    world.put(keys.reference_key(RUN), stored)

    reference = read_reference(world.lake, RUN)

    assert reference.profile.rows > 0
    with pytest.raises(CalibrationImpossible):
        _ = reference.calibration


def test_a_model_without_a_dataset_version_has_no_reference(world: World) -> None:
    with pytest.raises(ObjectGone):
        read_reference(world.lake, RUN)
