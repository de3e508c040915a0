"""
Rules that say which columns of a window drifted: ours, others' as their definitions say, and the best there can be.

Each rule takes a stream and how many of its windows have come, and answers a flag for each column. Others' rules
are computed here from the same binned counts; that their packages decide the same of the same rows is tested
(tests/unit/test_peer_rules.py, from what they answered to benchmarks/differential).
"""

from collections.abc import Callable
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import kolmogorov

from benchmarks.drift_quality.doane import group_counts
from benchmarks.drift_quality.streams import DAYS, MIDDLES, Scenario, Stream
from perennial.drift.calibration import Calibration, calibrate_columns
from perennial.drift.distances import Binned, benjamini_hochberg
from perennial.drift.judge import check_columns
from perennial.drift.policy import DriftPolicy
from perennial.drift.report import DriftReport
from perennial.drift.scores import NumberCounts
from perennial.drift.spans import Span

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Rule = Callable[[Stream, int], Flags]

LEVEL = 0.05
STEP = MIDDLES[1] - MIDDLES[0]


def _cumulative(counts: Floats) -> Floats:
    return np.cumsum(counts, axis=-1) / counts.sum(axis=-1, keepdims=True)


def _ks(left: Floats, right: Floats) -> Floats:
    return np.abs(_cumulative(left) - _cumulative(right)).max(axis=-1)


def _bh(p_values: Floats) -> Flags:
    return benjamini_hochberg(p_values) <= LEVEL


def ks_p_value(stream: Stream, window: int) -> Flags:
    """KS test, p < 0.05 in each column (what most tools do when asked for KS)."""
    reference, current = stream.reference.sum(axis=1), stream.windows[:, window - 1]
    rows = 1 / (1 / reference.sum(axis=-1) + 1 / current.sum(axis=-1))
    return kolmogorov(np.sqrt(rows) * _ks(reference, current)) < LEVEL


def evidently_default(stream: Stream, window: int) -> Flags:
    """
    Evidently's default: Wasserstein over the reference's deviation >= 0.1, KS p < 0.05 where the reference is small.

    Small means up to 1,000 rows of the reference, however many the window has (evidently 0.7.23).
    """
    reference, current = stream.reference.sum(axis=1), stream.windows[:, window - 1]
    if reference.sum(axis=-1).max() <= 1000:
        return ks_p_value(stream, window)
    area = np.abs(_cumulative(reference) - _cumulative(current)).sum(axis=-1) * STEP
    share = reference / reference.sum(axis=-1, keepdims=True)
    mean = share @ MIDDLES
    return area / np.sqrt(share @ MIDDLES**2 - mean**2) >= 0.1


def nannyml_default(stream: Stream, window: int) -> Flags:
    """
    NannyML's default: Jensen-Shannon more than 3 deviations off the mean of the reference's own chunks.

    A chunk is a batch. Bins are the reference's by Doane's rule, with one more for what lies outside of them; a
    distance that is too small alarms as well (NannyML 0.13.1).
    """
    flags = []
    for batches, current in zip(stream.reference, stream.windows[:, window - 1], strict=True):
        reference = batches.sum(axis=0)
        held = reference > 0
        chunks = group_counts(MIDDLES[held], reference[held], MIDDLES, np.vstack([batches, current]))
        distances = _js(chunks[:-1].sum(axis=0), chunks)
        flags.append(abs(distances[-1] - distances[:-1].mean()) > 3 * distances[:-1].std())
    return np.array(flags)


def _js(left: Floats, right: Floats) -> Floats:
    p, q = left / left.sum(axis=-1, keepdims=True), right / right.sum(axis=-1, keepdims=True)
    middle = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        divergence = sum(np.where(s > 0, s * np.log2(s / middle), 0).sum(axis=-1) for s in (p, q)) / 2
    return np.sqrt(np.maximum(divergence, 0))


def leave_one_out_ks(stream: Stream, window: int) -> Flags:
    """KS over its leave-one-batch-out root mean square, ranked among all columns' batches, then BH."""
    batches = stream.scenario.batches
    reference = stream.reference.sum(axis=1)
    own = np.stack([_ks(reference - stream.reference[:, t], stream.reference[:, t]) for t in range(batches)], axis=1)
    squares = (own**2).sum(axis=1)
    usual = own / np.sqrt((squares[:, None] - own**2) / (batches - 1))
    ratio = _ks(reference, stream.windows[:, window - 1]) / np.sqrt(squares / batches)
    return _bh((1 + (usual.ravel() >= ratio[:, None]).sum(axis=1)) / (usual.size + 1))


def oracle(stream: Stream, window: int) -> Flags:
    """
    The most that can be had: batch means predicted from the reference's by one who knows every parameter.

    Best linear prediction with the true correlation, season and size, unknown long-run mean, a step over the last
    one or (with two windows) one or both of them; BH at the same level.
    """
    known, total = stream.scenario.batches, stream.scenario.batches + window
    means = (stream.counts @ MIDDLES / stream.counts.sum(axis=-1))[:, :total]
    p_values = [
        _oracle_p_value(true_covariance(stream.scenario, tau, total), mean, known)
        for tau, mean in zip(stream.taus.tolist(), means, strict=True)
    ]
    return _bh(np.array(p_values))


def _oracle_p_value(covariance: Floats, mean: Floats, known: int) -> float:
    tests = []
    for step in range(1, len(mean) - known + 1):
        estimate, deviation = estimate_step(covariance, mean, step)
        tests.append(abs(estimate) / deviation)
    shares = (1.0,) if len(tests) == 1 else (0.5, 0.5)
    return float(min(2 * stats.norm.sf(test) / share for test, share in zip(tests, shares, strict=True)))


def estimate_step(covariance: Floats, mean: Floats, step: int) -> tuple[float, float]:
    """The step over the last `step` batches by generalised least squares, the long-run mean unknown, and its error."""
    inverse = np.linalg.inv(covariance)
    design = np.ones((len(mean), 2))
    design[:-step, 1] = 0
    information = design.T @ inverse @ design
    estimate = np.linalg.solve(information, design.T @ inverse @ mean)
    return float(estimate[1]), float(np.sqrt(np.linalg.inv(information)[1, 1]))


def true_covariance(scenario: Scenario, tau: float, batches: int) -> Floats:
    """How the means of `batches` consecutive batches vary together, by one who knows every parameter."""
    time = np.arange(batches)
    apart = np.abs(time[:, None] - time)
    varying = tau**2 * scenario.rho**apart + scenario.season**2 * (apart % DAYS == 0)
    return np.asarray(varying + np.eye(batches) / scenario.rows)


class Ours:
    """Perennial's check, at a budget of one false alarm in twenty checks."""

    _calibrated: ClassVar[dict[bool, tuple[int, Calibration]]] = {}

    def __init__(self, *, seasons: bool = True, adjacent: bool = True) -> None:
        self.policy = DriftPolicy(checks_per_year=20, alarms_per_year=1)
        self.seasons, self.adjacent = seasons, adjacent
        self._stream: Stream | None = None
        self._reports: list[DriftReport] = []

    def __call__(self, stream: Stream, window: int) -> Flags:
        """Flags of the check of window number `window`, with those before it as history."""
        if stream is not self._stream:
            self._stream, self._reports = stream, []
        while len(self._reports) < window:
            self._reports.append(self._check(stream, len(self._reports)))
        named = self._reports[window - 1].drifted_columns
        return np.array([f"{column}" in named for column in range(stream.scenario.columns)])

    def _check(self, stream: Stream, place: int) -> DriftReport:
        position = stream.scenario.batches + place
        return check_columns(
            self._columns(stream.reference.sum(axis=1)),
            self._columns(stream.windows[:, place]),
            rows=stream.scenario.rows,
            calibration=self._calibration(stream),
            policy=self.policy,
            history=[report.evidence for report in self._reports],
            positions=(float(position),) if self.adjacent else None,
            seasons=(self._season(stream, position),),
        )

    def _season(self, stream: Stream, position: int) -> str:
        return stream.scenario.label(position) if self.seasons else ""

    def _calibration(self, stream: Stream) -> Calibration:
        """Of the stream's reference; kept, for all who are told as much of seasons, while it comes again."""
        key = hash(stream.reference[:, 0].tobytes())
        held = Ours._calibrated.get(self.seasons)
        if held is None or held[0] != key:
            batches = [self._columns(stream.reference[:, t]) for t in range(stream.scenario.batches)]
            spans = [Span((float(t),), (self._season(stream, t),), stream.scenario.rows) for t in range(len(batches))]
            held = key, calibrate_columns(batches, spans, policy=self.policy)
            Ours._calibrated[self.seasons] = held
        return held[1]

    @staticmethod
    def _columns(counts: Floats) -> dict[str, NumberCounts]:
        columns = {}
        for place, column in enumerate(counts):
            held = np.flatnonzero(column)
            columns[f"{place}"] = NumberCounts(Binned(MIDDLES[held], column[held]), 0)
        return columns
