"""
Every error that Perennial raises, in one tree.

    PerennialError
    ├── LoopInvalid            loop.toml or model.py of a loop is wrong (all mistakes at once)
    ├── LoopUnknown            no such loop; says which exist
    ├── StageInvalid           a stage's name that no resource can bear; says what is possible
    ├── ContextInvalid         a `-c key=value` of the CDK that can't be used; says what can
    ├── RegionUnsupported      a region where AWS lacks something that a loop needs; says which have it all
    ├── ModelUnknown           no such model version; says which exist
    ├── DataUnreadable         a file that can't be parsed at all
    ├── ProfileMismatch        profiles of different versions, grids or contracts can't be merged
    ├── DatasetTooSmall        too few rows, batches or labels to train on
    ├── CalibrationImpossible  a threshold can't be learnt from what was given
    ├── EventInvalid           an event that doesn't parse, or comes from somewhere it must not come from
    ├── LockHeld               somebody else holds the lock; says who and since when
    ├── Fenced                 a lock that we held has been taken over: our writes are refused
    ├── ArtifactChanged        an artifact's digest is not the one that was approved
    ├── EndpointBusy           the endpoint is Updating: try again
    ├── EndpointDiverged       the endpoint is not what the rollout believes it to be
    ├── SmokeTestFailed        the challenger doesn't answer as its evaluation did
    ├── ApprovalRefused        a replayed, self-made or outdated approval
    ├── LedgerBroken           the chain of records doesn't verify; says where
    └── EnvironmentLacking     something the machine or the account lacks; says what to install or allow

Bad *data* is never an exception: it is a `Violation` in a result.
"""

from __future__ import annotations

__all__ = [
    "ApprovalRefused",
    "ArtifactChanged",
    "CalibrationImpossible",
    "ContextInvalid",
    "DataUnreadable",
    "DatasetTooSmall",
    "EndpointBusy",
    "EndpointDiverged",
    "EnvironmentLacking",
    "EventInvalid",
    "Fenced",
    "LedgerBroken",
    "LockHeld",
    "LoopInvalid",
    "LoopUnknown",
    "ModelUnknown",
    "PerennialError",
    "ProfileMismatch",
    "RegionUnsupported",
    "SmokeTestFailed",
    "StageInvalid",
]


class PerennialError(Exception):
    """The root: catch this to catch everything of ours."""


class LoopInvalid(PerennialError):
    """A loop's folder is wrong; `mistakes` holds one located sentence for each mistake."""

    def __init__(self, mistakes: list[str] | tuple[str, ...]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(self.mistakes))


class LoopUnknown(PerennialError):
    """No loop of that name."""


class ContextInvalid(PerennialError):
    """A context value of the CDK that can't be used."""


class RegionUnsupported(PerennialError):
    """A region where AWS lacks something that a loop needs; says why and which have it all."""


class StageInvalid(PerennialError):
    """A stage's name that can't be part of a resource's name."""


class ModelUnknown(PerennialError):
    """No model version of that name."""


class DataUnreadable(PerennialError):
    """A file that can't be parsed at all."""


class ProfileMismatch(PerennialError):
    """Profiles that can't be merged or compared as they are."""


class DatasetTooSmall(PerennialError):
    """Too few rows, batches or labels to train on."""


class CalibrationImpossible(PerennialError):
    """Thresholds can't be learnt from what was given."""


class EventInvalid(PerennialError):
    """An event that doesn't parse or whose origin is not allowed."""


class LockHeld(PerennialError):
    """Another holder has the lock."""


class Fenced(PerennialError):
    """Our lock was taken over; nothing we write counts any more."""


class ArtifactChanged(PerennialError):
    """The artifact isn't the one that was judged or approved."""


class EndpointBusy(PerennialError):
    """The endpoint is being updated; try again."""


class EndpointDiverged(PerennialError):
    """The endpoint's configuration or weights are not what the rollout set."""


class SmokeTestFailed(PerennialError):
    """The challenger's answers to the evaluation's own rows are missing, late or different."""


class ApprovalRefused(PerennialError):
    """An approval that doesn't count: replayed, self-made, or for another digest."""


class LedgerBroken(PerennialError):
    """The ledger's chain doesn't verify."""


class EnvironmentLacking(PerennialError):
    """The machine or the account lacks something."""
