"""Builders of what functions read and write: landed files, evaluations, models, rollouts under way."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import random
import tarfile
from datetime import datetime, timedelta
from typing import Any

from perennial import keys
from perennial.artifact import archive_digest
from perennial.aws.live import LivePointer
from perennial.aws.locks import ROLLOUT_LOCK, Lock
from perennial.rollout import RolloutPlan
from tests.builders import day, make_evaluation
from tests.functions.sagemaker_fake import FakeEndpoint
from tests.functions.world import ENDPOINT, LAKE, World


def make_archive(**contents: bytes) -> bytes:
    """A model.tar.gz; `model_joblib=b"..."` puts another estimator into it."""
    files = {"model_json": b"{}", "model_joblib": b"a model", "loop_json": b"{}", **contents}
    listed = {name.replace("_", "."): hashlib.sha256(data).hexdigest() for name, data in files.items()}
    files["contents_json"] = json.dumps(listed).encode()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name.replace("_", "."))
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return gzip.compress(packed.getvalue(), mtime=0)


ARTIFACT = make_archive()
ARTIFACT_DIGEST = hashlib.sha256(ARTIFACT).hexdigest()


def make_csv(number: int = 1, *, rows: int = 100, mean: float = 0.0, bad_rows: int = 0, seed: int = 0) -> bytes:
    """A day's batch: normal x around `mean`, colours, and `bad_rows` whose x isn't a number."""
    chance = random.Random(f"{number}/{seed}")
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["id", "ts", "x", "color"])
    for row in range(rows):
        at = day(number) + timedelta(seconds=row * 80_000 / max(rows, 1))
        x = "oops" if row < bad_rows else f"{chance.gauss(mean, 1):.6f}"
        writer.writerow([f"d{number}-{row}", at.isoformat(), x, chance.choice(["red", "green", "blue"])])
    return text.getvalue().encode()


def make_label_csv(
    number: int = 1, *, rows: int = 100, flipped: bool = False, labeled_at: datetime | None = None
) -> bytes:
    """Labels of a day's records: 1 for even rows, or the other way round."""
    at = labeled_at or day(number + 1)
    lines = ["id,y,labeled_at"]
    lines += [f"d{number}-{row},{(row % 2) ^ (not flipped):d},{at.isoformat()}" for row in range(rows)]
    return ("\n".join(lines) + "\n").encode()


def put_model(world: World, version: str, *, status: str = "approved", data: bytes = ARTIFACT) -> str:
    """A registered and approved model version with its artifact; gives the artifact's address."""
    digest = hashlib.sha256(data).hexdigest()
    key = keys.approved_key(digest)
    world.put(key, data)
    url = f"s3://{LAKE}/{key}"
    record: dict[str, Any] = {
        "status": status,
        "verdict": "passed",
        "model_data_url": url,
        "artifact_digest": digest,
        "model_digest": archive_digest(io.BytesIO(data)),
        "model_package_arn": f"arn:aws:sagemaker:us-east-1:123456789012:model-package/perennial-demo--dev/{version}",
    }
    if status == "approved":
        record["approved_digest"] = digest
    world.catalog.put(keys.model_item("demo", version), record)
    return url


def rollout_input(world: World, version: str) -> dict[str, str]:
    """What the learning machine hands to the rollout machine."""
    url = put_model(world, version)
    return {
        "rollout_id": version,
        "run_id": version,
        "model_version": version,
        "model_data_url": url,
        "artifact_digest": ARTIFACT_DIGEST,
    }


def deploy_plan(world: World, plan: RolloutPlan, weights: dict[str, float] | None = None) -> FakeEndpoint:
    """The endpoint as SageMaker has it once the machine has deployed a plan."""
    initial = {variant["VariantName"]: variant["InitialVariantWeight"] for variant in plan.production_variants}
    world.sagemaker.endpoints[ENDPOINT] = FakeEndpoint(plan.endpoint_config_name, weights or initial)
    return world.sagemaker.endpoints[ENDPOINT]


def lock_of(world: World) -> Lock:
    """The rollout lock."""
    return Lock(world.catalog, keys.lock_item("demo", ROLLOUT_LOCK))


def pointer_of(world: World) -> LivePointer:
    """The live pointer."""
    return LivePointer(world.catalog, "demo")


def put_run(world: World, run_id: str, *, verdict: str = "passed", **more: Any) -> None:
    """A learning run as decide_retraining and judge_candidate left it."""
    kept = {
        "verdict": verdict,
        "reasons": ["comparison: better"],
        "metric": "auc",
        "candidate": 0.9,
        "champion": 0.8,
        "artifact_digest": ARTIFACT_DIGEST,
    }
    world.catalog.put(keys.run_item("demo", run_id), {"run_id": run_id, "verdict": kept, **more})


def put_evaluation(world: World, run_id: str, **changes: Any) -> None:
    """What the evaluation job wrote."""
    evaluation = make_evaluation(run_id=run_id, artifact_digest=ARTIFACT_DIGEST, **changes)
    world.put(f"{keys.evaluation_prefix(run_id)}evaluation.json", evaluation.model_dump_json().encode())


def learning_state(world: World, run_id: str) -> dict[str, Any]:
    """What the learning machine hands to register_model: dataset and training job."""
    key = f"models/{run_id}/job/output/model.tar.gz"
    world.put(key, ARTIFACT)
    return {
        "run_id": run_id,
        "dataset": {"dataset_id": "d1", "version_uri": f"s3://{LAKE}/datasets/d1/runs/{run_id}/"},
        "training": {"ModelArtifacts": {"S3ModelArtifacts": f"s3://{LAKE}/{key}"}},
    }
