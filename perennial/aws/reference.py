"""A model's reference, read from the lake: what later batches are compared with, and until when it reaches."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from perennial import keys
from perennial.profile import Profile

if TYPE_CHECKING:
    from perennial.aws.lake import Lake
    from perennial.drift import Calibration

__all__ = ["Reference", "read_reference"]


@dataclass(frozen=True)
class Reference:
    """
    What freeze_dataset wrote beside the model's dataset version.

    Each part is decoded when first used: who asks for the profile alone neither waits for the calibration nor fails
    where that is of another version.

    Parameters
    ----------
    until
        Time of the newest event that the dataset version holds, to learn from or to judge by.
    stored
        The JSON as it was written.
    """

    model_version: str
    until: datetime
    stored: Mapping[str, Any] = field(repr=False)

    def covers(self, at: datetime) -> bool:
        """
        Whether a batch whose newest event is of `at` is no newer than the reference: it may be part of it.

        >>> from datetime import UTC
        >>> reference = Reference("v1", datetime(2026, 3, 1, tzinfo=UTC), {})
        >>> reference.covers(datetime(2026, 3, 1, tzinfo=UTC)), reference.covers(datetime(2026, 3, 2, tzinfo=UTC))
        (True, False)
        """
        return at <= self.until

    @cached_property
    def profile(self) -> Profile:
        """Of all that the model was trained on."""
        return _profile(self.stored)

    @cached_property
    def calibration(self) -> Calibration:
        """How much those batches differ among themselves."""
        from perennial.drift import Calibration

        return Calibration.from_json(json.dumps(self.stored["calibration"]))

    @cached_property
    def seasons(self) -> Mapping[str, Profile]:
        """By the season's label, for each that has enough batches of its own."""
        return {label: _profile(held) for label, held in self.stored["seasons"].items()}


def read_reference(lake: Lake, model_version: str) -> Reference:
    """
    The reference of that model.

    Raises
    ------
    ObjectGone
        No dataset version was frozen for such a model.
    """
    stored = lake.get_json(keys.reference_key(model_version))
    return Reference(stored["model_version"], datetime.fromisoformat(stored["until"]), stored)


def _profile(held: Mapping[str, Any]) -> Profile:
    return Profile.from_bytes(base64.b64decode(held["profile"]))
