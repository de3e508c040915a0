"""`perennial validate | profile | drift`: the data engine on files, with nothing deployed."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from perennial.cli.project_root import load_named_loop
from perennial.cli.rows import existing
from perennial.errors import DataUnreadable
from perennial.profile import Profile, merge

__all__ = ["compare", "merge_files", "profile_files", "read_profile", "validate"]


@dataclass(frozen=True)
class _Sinks:
    curated: Any
    quarantine: Any


def _validated(loop: str, path: Path, sinks: _Sinks | None = None) -> Any:
    from perennial.validation import validate_file

    contract = load_named_loop(loop).contract
    sinks = sinks or _Sinks(io.BytesIO(), io.BytesIO())
    size_bytes = existing(path).stat().st_size
    return validate_file(
        path,
        contract=contract,
        key=path.name,
        size_bytes=size_bytes,
        curated=sinks.curated,
        quarantine=sinks.quarantine,
        now=datetime.now(UTC),
    )


def validate(loop: str, path: Path, *, curated: Path | None = None, quarantine: Path | None = None) -> Any:
    """The outcome of validating one file against the loop's contract; accepted rows and quarantine where asked for."""
    return _validated(loop, path, _Sinks(curated or io.BytesIO(), quarantine or io.BytesIO()))


def profile_files(loop: str, paths: Sequence[Path]) -> Profile:
    """
    The merged profile of the accepted rows of `paths`.

    Raises
    ------
    DataUnreadable
        A file is refused as a whole.
    """
    profiles = []
    for path in paths:
        outcome = _validated(loop, path)
        if not outcome.accepted or outcome.profile is None:
            why = "; ".join(str(reason) for reason in outcome.reasons)
            raise DataUnreadable(f"{path} must keep the contract of loop {loop}. Got: {why}")
        profiles.append(outcome.profile)
    return merge(profiles)


def read_profile(path: Path) -> Profile:
    """A profile written by `perennial profile`."""
    return Profile.from_bytes(existing(path).read_bytes())


def merge_files(paths: Sequence[Path]) -> Profile:
    """The exact merge of stored profiles."""
    return merge([read_profile(path) for path in paths])


def compare(loop: str, *, reference: Path, current: Path, calibrate_with: Sequence[Path]) -> Any:
    """The drift report of two stored profiles, calibrated by batch profiles of the reference where given."""
    from perennial.drift import DriftPolicy, calibrate, check, policy_for

    loaded = load_named_loop(loop)
    policy = policy_for(loaded.contract, loaded.triggers.drift or DriftPolicy.model_validate({}))
    calibration = calibrate([read_profile(path) for path in calibrate_with], policy=policy) if calibrate_with else None
    return check(
        read_profile(reference),
        read_profile(current),
        calibration=calibration,
        policy=policy,
        weights=None,
        now=datetime.now(UTC),
    )
