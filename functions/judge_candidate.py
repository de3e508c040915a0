"""
The gate: the candidate's evaluation against the champion's, as a verdict with reasons.

Trigger: learning machine. Announces: Candidate Judged. Metrics: GateDifference, GatePassed.

AWS actions
-----------
- lake bucket: s3:GetObject on `reports/evaluations/*` and the loop's file asset; s3:ListBucket
- catalog table: dynamodb:GetItem, PutItem, UpdateItem
- bus: events:PutEvents
- keys of those: kms:Decrypt
"""

from __future__ import annotations

from functions import _shell

__all__ = ["Settings"]


class Settings(_shell.Settings):
    """The environment of judge_candidate."""
