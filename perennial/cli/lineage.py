"""`perennial lineage`: from a model back to the files that it was made of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from rich.text import Text
from rich.tree import Tree

from perennial import keys
from perennial.aws.lake import Lake
from perennial.cli.deployment import Deployment
from perennial.cli.model_choice import choose_model
from perennial.dataset import DatasetVersion
from perennial.errors import ModelUnknown

__all__ = ["CHAMPION", "File", "Lineage", "Part", "draw", "trace"]

CHAMPION: Final = "champion"
# A person reads a few; --json has them all.
_SHOWN: Final = 8


@dataclass(frozen=True, slots=True)
class File:
    """One landed file version."""

    key: str
    version_id: str
    landed_at: str


@dataclass(frozen=True, slots=True)
class Part:
    """A batch or a label file of a dataset, and the landed files that are it."""

    name: str
    rows: int | None
    first_event_at: str | None
    last_event_at: str | None
    roles: tuple[str, ...]
    files: tuple[File, ...]


@dataclass(frozen=True, slots=True)
class Lineage:
    """A model version, the run and dataset that made it, and the files behind the dataset."""

    loop: str
    model_version: str
    model: Mapping[str, Any]
    run: Mapping[str, Any]
    dataset: Mapping[str, Any]
    batches: tuple[Part, ...]
    labels: tuple[Part, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


_MODEL = ("status", "artifact_digest", "model_data_url", "model_package_arn", "approved_by", "hyperparameters")
_RUN = ("run_id", "signal", "as_of", "reasons", "requested_by", "outcome", "concluded_at")
_DATASET = ("dataset_id", "as_of", "label_cutoff_at", "mode", "seed", "loop_digest", "champion_version")


def trace(deployment: Deployment, model: str = CHAMPION) -> Lineage:
    """
    Where a model version comes from.

    Parameters
    ----------
    model
        A model version, the beginning of one, or "champion".

    Raises
    ------
    ModelUnknown
        There is no such model; says which there are.
    """
    catalog, loop = deployment.catalog, deployment.loop
    models = dict(catalog.query(keys.models_partition(loop)))
    if model == CHAMPION:
        model = str((catalog.get(keys.live_item(loop)) or {}).get("champion") or "")
        if not model:
            raise ModelUnknown(
                f"loop {loop} must have a champion. Got none yet instead: see `perennial status {loop}`."
            )
    version = choose_model(models, model, what=f"a registered model of loop {loop}")
    record = models[version]
    dataset = _dataset(deployment, str(record["version_uri"]))
    files = _files(deployment)
    return Lineage(
        loop=loop,
        model_version=version,
        model=_some(record, _MODEL),
        run=_some(catalog.get(keys.run_item(loop, dataset.run_id)) or {}, _RUN),
        dataset=_some(dataset.model_dump(mode="json"), _DATASET) | {"rows": dataset.rows},
        batches=_batches(dataset, files),
        labels=tuple(
            Part(
                name=entry.labels_id,
                rows=entry.rows,
                first_event_at=None,
                last_event_at=entry.as_of.isoformat() if entry.as_of else None,
                roles=("labels",),
                files=files.get(entry.labels_id, ()),
            )
            for entry in dataset.labels
        ),
    )


def _some(record: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: record[name] for name in names if record.get(name) is not None}


def _dataset(deployment: Deployment, version_uri: str) -> DatasetVersion:
    bucket, _, prefix = version_uri.removeprefix("s3://").partition("/")
    return DatasetVersion.model_validate_json(Lake(deployment.s3, bucket).get(f"{prefix}version.json"))


def _files(deployment: Deployment) -> dict[str, tuple[File, ...]]:
    """Landed file versions by the batch or labels that they are: the same file may have landed more than once."""
    found: dict[str, list[File]] = defaultdict(list)
    for _, item in deployment.catalog.query(keys.landing_item(deployment.loop, "", "", "")["pk"]):
        name = item.get("batch_id") or item.get("labels_id")
        if name:
            found[name].append(File(str(item["key"]), str(item["version_id"]), str(item.get("landed_at", ""))))
    return {name: tuple(sorted(files, key=lambda file: file.landed_at)) for name, files in found.items()}


def _batches(dataset: DatasetVersion, files: Mapping[str, tuple[File, ...]]) -> tuple[Part, ...]:
    roles = {role: {batch.batch_id for batch in getattr(dataset, role)} for role in ("train", "holdout", "anchor")}
    return tuple(
        Part(
            name=batch.batch_id,
            rows=batch.rows,
            first_event_at=batch.first_event_at.isoformat(),
            last_event_at=batch.last_event_at.isoformat(),
            roles=tuple(role for role, members in roles.items() if batch.batch_id in members),
            files=files.get(batch.batch_id, ()),
        )
        for batch in dataset.batches
    )


def draw(lineage: Lineage) -> Tree:
    """The lineage as a person reads it: model, run, dataset, batches, files."""
    model, run, dataset = lineage.model, lineage.run, lineage.dataset
    root = Tree(Text(f"model {lineage.model_version}: {model.get('status', 'unknown')}"))
    root.add(Text(f"artifact {model.get('artifact_digest')} at {model.get('model_data_url')}"))
    if "approved_by" in model:
        root.add(Text(f"approved by {model['approved_by']}"))
    why = root.add(
        Text(f"run {run.get('run_id', 'unknown')}, for {run.get('signal', 'unknown')} as of {run.get('as_of')}")
    )
    for reason in run.get("reasons", ()):
        why.add(Text(str(reason)))
    data = root.add(
        Text(f"dataset {dataset['dataset_id']}: {dataset['rows']:,} rows, labels until {dataset['label_cutoff_at']}")
    )
    data.add(Text(f"compared with champion {dataset['champion_version']}"))
    for title, parts in (("batches", lineage.batches), ("label files", lineage.labels)):
        branch = data.add(Text(f"{len(parts)} {title}"))
        for part in parts[:_SHOWN]:
            _draw_part(branch, part)
        if len(parts) > _SHOWN:
            branch.add(Text(f"and {len(parts) - _SHOWN} more: see --json"))
    return root


def _draw_part(branch: Tree, part: Part) -> None:
    until = f" until {part.last_event_at}" if part.last_event_at else ""
    rows = "" if part.rows is None else f", {part.rows:,} rows"
    twig = branch.add(Text(f"{part.name[:12]} ({', '.join(part.roles)}){rows}{until}"))
    for file in part.files:
        twig.add(Text(f"{file.key} version {file.version_id}, landed {file.landed_at[:19]}"))
    if not part.files:
        twig.add(Text("no landed file is on record"))
