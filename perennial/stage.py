"""
Stages: the same loop, deployed several times side by side in one account and region.

A stage is part of every name that a deployment has, so that two stages share nothing. A name is a word, or words with
single hyphens between them: two hyphens separate loop and stage.

>>> parse_stage("prod"), environment_of("prod"), environment_of("dev")
('prod', 'production', 'development')
"""

from __future__ import annotations

import re
from typing import Final

from perennial.errors import StageInvalid

__all__ = ["DEFAULT_STAGE", "LONGEST_STAGE", "environment_of", "parse_stage"]

DEFAULT_STAGE: Final = "dev"
# With a loop's name of 29 it leaves 20 characters of SageMaker's 63 for a run and what is made for it.
LONGEST_STAGE: Final = 10

_STAGE = re.compile(r"[a-z](?:-?[a-z0-9])*")
_PRODUCTION = ("prod", "production")


def parse_stage(given: str) -> str:
    """
    The stage of this name.

    Raises
    ------
    StageInvalid
        It can't be part of a resource's name; says what can.
    """
    if _STAGE.fullmatch(given) and len(given) <= LONGEST_STAGE:
        return given
    raise StageInvalid(
        f"stage must be at most {LONGEST_STAGE} lower-case letters and digits, with single hyphens between them, and "
        f"begin with a letter, such as dev, test, staging or prod. Got {given!r} instead."
    )


def environment_of(stage: str) -> str:
    """The word that a stage's resources are tagged with as their environment, where a deployment says no other."""
    if stage in _PRODUCTION:
        return "production"
    return "development" if stage == DEFAULT_STAGE else stage
