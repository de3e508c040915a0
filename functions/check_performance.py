"""
Predictions meet their labels: every serving version is scored, and a fall of the champion is announced.

Trigger: bus, Labels Joined. Announces: Performance Fell. Metrics: Quality (loop; loop and variant),
LabelledPredictions.

AWS actions
-----------
- lake bucket: s3:GetObject on `curated/labels/*`, `predictions/*`, `reports/evaluations/*` and the loop's file
  asset;
  s3:ListBucket
- catalog table: dynamodb:GetItem, PutItem, UpdateItem, Query
- bus: events:PutEvents
- keys of those: kms:Decrypt, kms:GenerateDataKey
"""

from __future__ import annotations

from functions import _shell

__all__ = ["Settings"]


class Settings(_shell.Settings):
    """The environment of check_performance."""

    # A check reads at most this many prediction files, newest first, so that its cost has a bound.
    max_prediction_files: int = 2000
