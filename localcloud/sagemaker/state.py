"""All that SageMaker knows: records as plain JSON, kept over a restart."""

from __future__ import annotations

import base64
import copy
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from localcloud.context import Context
from localcloud.sagemaker.errors import ResourceNotFound, SageMakerError, ValidationException

Record = dict[str, Any]
COLLECTIONS = (
    "model", "endpoint-config", "endpoint", "training-job", "processing-job", "model-package-group", "model-package",
)  # fmt: skip
MAX_TAGS = 50


@dataclass(frozen=True, slots=True)
class Listing:
    """
    How one List operation filters and answers.

    Parameters
    ----------
    answer
        The output's member that carries the summaries.
    prefix
        What names, statuses and times are called after: `TrainingJob` gives TrainingJobName, TrainingJobStatus.
    descending
        The order when the request says none.
    """

    collection: str
    answer: str
    prefix: str
    descending: bool = False
    filters: tuple[str, ...] = ()


class State:
    """
    The records of every collection by name, and the tags of every ARN.

    Whoever reads and then writes holds `lock`.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self.lock = threading.RLock()
        self.collections: dict[str, dict[str, Record]] = {name: {} for name in COLLECTIONS}
        self.tags: dict[str, dict[str, str]] = {}

    def __getitem__(self, collection: str) -> dict[str, Record]:
        return self.collections[collection]

    def arn(self, collection: str, name: str) -> str:
        """The ARN of a record."""
        return f"arn:aws:sagemaker:{self._context.region}:{self._context.account}:{collection}/{name}"

    def now(self) -> float:
        """Epoch seconds."""
        return self._context.clock().timestamp()

    def get(self, collection: str, name: str, missing: Callable[[str], SageMakerError]) -> Record:
        """The record `name`, or the error that `missing` makes of its ARN."""
        record = self[collection].get(name)
        if record is None:
            raise missing(self.arn(collection, name))
        return record

    # Tags

    def tag(self, arn: str, tags: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
        """Add tags to something that exists; all that it then has."""
        with self.lock:
            self._must_exist(arn)
            merged = self.tags.get(arn, {}) | {tag["Key"]: tag["Value"] for tag in tags}
            if len(merged) > MAX_TAGS:
                raise ValidationException(f"a resource can have at most {MAX_TAGS} tags. Got {len(merged)}")
            self.tags[arn] = merged
        return self.tags_of(arn)

    def untag(self, arn: str, keys: Sequence[str]) -> None:
        """Remove tags."""
        with self.lock:
            self._must_exist(arn)
            self.tags[arn] = {key: value for key, value in self.tags.get(arn, {}).items() if key not in keys}

    def tags_of(self, arn: str) -> list[dict[str, str]]:
        """The tags of something that exists."""
        self._must_exist(arn)
        return [{"Key": key, "Value": value} for key, value in self.tags.get(arn, {}).items()]

    def _must_exist(self, arn: str) -> None:
        collection, _, name = arn.rpartition(":")[2].partition("/")
        if name not in self.collections.get(collection, {}):
            raise ValidationException(f"Could not find resource {arn}")

    # Lists

    def page(self, listing: Listing, params: Mapping[str, Any]) -> dict[str, Any]:
        """One page of a List operation, filtered and ordered as the request says."""
        with self.lock:
            records = [dict(record) for record in self[listing.collection].values()]
        records = [record for record in records if _passes(listing, record, params)]
        by = params.get("SortBy", "CreationTime")
        key = f"{listing.prefix}{by}" if by in ("Name", "Status") else by
        descending = params.get("SortOrder", "Descending" if listing.descending else "Ascending") == "Descending"
        records.sort(key=lambda record: record.get(key, 0), reverse=descending)
        start, size = _offset(params.get("NextToken")), params.get("MaxResults", 10)
        more = start + size < len(records)
        token = base64.urlsafe_b64encode(str(start + size).encode()).decode() if more else None
        return {listing.answer: records[start : start + size], "NextToken": token}

    # Kept over a restart

    def dump(self) -> dict[str, Any]:
        """Everything, for JSON."""
        with self.lock:
            return copy.deepcopy({"collections": self.collections, "tags": self.tags})

    def load(self, kept: Mapping[str, Any]) -> None:
        """The reverse of `dump`."""
        with self.lock:
            self.collections.update(kept["collections"])
            self.tags.update(kept["tags"])


def _offset(token: str | None) -> int:
    if not token:
        return 0
    try:
        return int(base64.urlsafe_b64decode(token))
    except ValueError as error:
        raise ValidationException("Invalid pagination token") from error


def _passes(listing: Listing, record: Record, params: Mapping[str, Any]) -> bool:
    name = str(record.get(f"{listing.prefix}Name", ""))
    if params.get("NameContains", "").lower() not in name.lower():
        return False
    if params.get("StatusEquals", record.get(f"{listing.prefix}Status")) != record.get(f"{listing.prefix}Status"):
        return False
    if any(params.get(field, record.get(field)) != record.get(field) for field in listing.filters):
        return False
    for field in ("CreationTime", "LastModifiedTime"):
        moment = record.get(field, 0.0)
        if not params.get(f"{field}After", moment) <= moment <= params.get(f"{field}Before", moment):
            return False
    return True


def not_found(kind: str) -> Callable[[str], SageMakerError]:
    """AWS's answer for a model, endpoint or endpoint configuration that is not there."""
    return lambda arn: ValidationException(f'Could not find {kind} "{arn}".')


def job_not_found(arn: str) -> SageMakerError:
    """AWS's answer for a job that is not there."""
    return ResourceNotFound(f"Could not find requested job with name: {arn.rpartition('/')[2]}")
