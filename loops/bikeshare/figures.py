"""
The figures of this loop's README, measured anew.

    python -m loops.bikeshare.figures decay [--every N]   what refitting is worth
    python -m loops.bikeshare.figures flips [--week N]    how many weeks of flipped labels the gate stops
    python -m loops.bikeshare.figures gate                how often the gate lets an honest candidate through

Each week is scored before its labels may be learnt from (test-then-train), and labels come a day late.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from threadpoolctl import threadpool_limits

from loops.bikeshare import stream
from loops.bikeshare.model import build_estimator
from perennial.dataset import BatchEntry, DatasetVersion, LabelsEntry, freeze
from perennial.evaluation import Evaluation, ModelEvaluation
from perennial.gate import Verdict, judge
from perennial.keys import content_digest
from perennial.project import Loop, load_loop
from perennial.scores import paired
from training.dataset import Rows
from training.frame import conform
from training.measuring import baseline, by_group, metrics, scored
from training.predictions import predict

__all__ = ["History", "compare", "decay", "flips"]

_FIRST_WEEKS = 12
_CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class History:
    """All weeks as labelled rows; `flipped` names weeks whose labels say the opposite."""

    loop: Loop
    flipped: frozenset[int] = frozenset()

    def rows(self, numbers: Iterable[int]) -> Rows:
        """The rows of some weeks."""
        weeks = [stream.week(number) for number in numbers]
        table = pd.concat(
            [pd.read_csv(io.BytesIO(week.batch_csv()), dtype={"weathersit": str}) for week in weeks], ignore_index=True
        )
        busy = [int(hour.busy != (week.number in self.flipped)) for week in weeks for hour in week.hours]
        contract = self.loop.contract
        return Rows(conform(table, contract, contract.features), pd.Series(busy), table["record_id"])

    def fit(self, numbers: Iterable[int]) -> Any:
        """An estimator fitted on some weeks."""
        rows = self.rows(numbers)
        given = {name: str(value) for name, value in self.loop.training.hyperparameters.items()}
        return build_estimator({"seed": str(self.loop.training.seed), **given}).fit(rows.features, rows.labels)

    def accuracy(self, estimator: Any, number: int) -> float:
        """Its accuracy on one week."""
        rows = self.rows([number])
        return float((estimator.predict(rows.features) == rows.labels).mean())

    def freeze(self, last: int, *, champion_weeks: Iterable[int] = ()) -> tuple[DatasetVersion, dict[str, int]]:
        """The version that the loop freezes when labels up to week `last` are in, and each batch's week."""
        weeks = {_batch_id(number): number for number in range(last + 1)}
        version = freeze(
            [_entry(batch_id, stream.week(number)) for batch_id, number in weeks.items()],
            [LabelsEntry(labels_id=i, curated_key=i, rows=stream.week(n).rows) for i, n in weeks.items()],
            self.loop.training,
            self.loop.labels,
            loop=self.loop.name,
            run_id="figures",
            as_of=stream.week(last).labels_landed_at,
            champion_batches={_batch_id(number) for number in champion_weeks},
        )
        return version, weeks


@cache
def _batch_id(number: int) -> str:
    """The name that the week's file has in the lake: which weeks are anchors follows from it."""
    return content_digest(stream.week(number).batch_csv())[:40]


def _entry(batch_id: str, week: stream.Week) -> BatchEntry:
    return BatchEntry(
        batch_id=batch_id,
        curated_key=batch_id,
        rows=week.rows,
        first_event_at=week.first_event_at,
        last_event_at=week.last_event_at,
    )


def decay(loop: Loop, *, every: int) -> dict[str, list[float]]:
    """Accuracy of each week after the first twelve, by policy; `every` is weeks between refits."""
    history = History(loop)
    trained: dict[str, Callable[[int], range]] = {
        "never": lambda week: range(_FIRST_WEEKS),
        "all history": lambda week: range(week),
        "12 weeks": lambda week: range(week - _FIRST_WEEKS, week),
    }
    found: dict[str, list[float]] = {}
    for name, choose in trained.items():
        estimator = history.fit(range(_FIRST_WEEKS))
        found[name] = []
        for week in range(_FIRST_WEEKS, stream.WEEKS):
            if name != "never" and week > _FIRST_WEEKS and (week - _FIRST_WEEKS) % every == 0:
                estimator = history.fit(choose(week))
            found[name].append(history.accuracy(estimator, week))
    return found


def compare(history: History, *, champion_at: int, candidate_at: int) -> tuple[Verdict, Evaluation]:
    """The gate's verdict on a candidate of week `candidate_at` against the honest champion of week `champion_at`."""
    honest = History(history.loop)
    version, weeks = honest.freeze(champion_at)
    champion_weeks = [weeks[batch.batch_id] for batch in version.train]
    champion = honest.fit(champion_weeks)
    version, weeks = history.freeze(candidate_at, champion_weeks=champion_weeks)
    candidate = history.fit(weeks[batch.batch_id] for batch in version.train)
    train, holdout, anchor = (
        history.rows(weeks[batch.batch_id] for batch in part)
        for part in (version.train, version.holdout, version.anchor)
    )
    policy = history.loop.gate
    answers = {name: predict(model, holdout.features, "binary") for name, model in _pair(candidate, champion)}
    measured = {
        name: ModelEvaluation(
            overall=metrics(holdout, answers[name], "binary", confidence=_CONFIDENCE),
            slices=by_group(holdout, answers[name], "binary", history.loop.contract.segments, confidence=_CONFIDENCE),
            anchor=metrics(anchor, predict(model, anchor.features, "binary"), "binary", confidence=_CONFIDENCE),
        )
        for name, model in _pair(candidate, champion)
    }
    evaluation = Evaluation(
        run_id="figures",
        candidate=measured["candidate"],
        champion=measured["champion"],
        baseline=baseline(train, holdout, "binary", confidence=_CONFIDENCE),
        paired=paired(
            policy.metric,
            scored(holdout, answers["candidate"]),
            scored(holdout, answers["champion"]),
            confidence=_CONFIDENCE,
        ),
        artifact_digest="figures",
    )
    return judge(evaluation, policy), evaluation


def _pair(candidate: Any, champion: Any) -> tuple[tuple[str, Any], tuple[str, Any]]:
    return (("candidate", candidate), ("champion", champion))


def flips(loop: Loop, *, week: int, champion_at: int, most: int) -> list[tuple[int, Verdict, Evaluation]]:
    """The gate's verdict when the newest 0, 1, ... `most` weeks carry flipped labels."""
    found = []
    for count in range(most + 1):
        flipped = frozenset(range(week - count + 1, week + 1))
        found.append((count, *compare(History(loop, flipped), champion_at=champion_at, candidate_at=week)))
    return found


def _print_decay(found: dict[str, list[float]]) -> None:
    write = sys.stdout.write
    write("| refitted | " + " | ".join(f"weeks {at}-{min(at + 22, 103)}" for at in range(12, 104, 23)) + " | all |\n")
    write("|---|" + "---|" * 5 + "\n")
    for name, values in found.items():
        parts = [values[at : at + 23] for at in range(0, len(values), 23)]
        cells = [f"{sum(part) / len(part):.3f}" for part in (*parts, values)]
        write(f"| {name} | " + " | ".join(cells) + " |\n")


def _print_verdict(label: str, verdict: Verdict, evaluation: Evaluation) -> None:
    champion = evaluation.champion
    assert champion is not None
    mine, theirs = (model.anchor["accuracy"].value or 0.0 for model in (evaluation.candidate, champion))
    held = [(model.overall["accuracy"].value or 0.0) for model in (evaluation.candidate, champion)]
    sys.stdout.write(
        f"| {label} | {held[0]:.3f} / {held[1]:.3f} | {mine:.3f} / {theirs:.3f} | {verdict.verdict} | "
        f"{', '.join(sorted({check.name for check in verdict.checks if check.outcome != 'passed'})) or 'none'} |\n"
    )


def _head(first: str) -> None:
    sys.stdout.write(
        f"| {first} | holdout: candidate / champion | anchor: candidate / champion | verdict | against |\n"
    )
    sys.stdout.write("|---|---|---|---|---|\n")


def main(arguments: list[str] | None = None) -> int:
    """Print one of the tables as Markdown."""
    parser = argparse.ArgumentParser(prog="python -m loops.bikeshare.figures", description=__doc__)
    parser.add_argument("table", choices=("decay", "flips", "gate"))
    parser.add_argument("--every", type=int, default=8, help="weeks between refits (decay; default 8)")
    parser.add_argument("--week", type=int, default=34, help="the candidate's newest week (flips; default 34)")
    parser.add_argument("--champion", type=int, default=24, help="the champion's newest week (flips; default 24)")
    options = parser.parse_args(arguments)
    loop = load_loop(Path(__file__).parent)
    # One thread: the fits are small, and threads that wait for each other cost more than they bring.
    with threadpool_limits(limits=1):
        _print(loop, options)
    return 0


def _print(loop: Loop, options: argparse.Namespace) -> None:
    if options.table == "decay":
        _print_decay(decay(loop, every=options.every))
    elif options.table == "flips":
        _head("weeks flipped")
        for count, verdict, evaluation in flips(loop, week=options.week, champion_at=options.champion, most=12):
            _print_verdict(str(count), verdict, evaluation)
    else:
        _head("candidate of week, champion of")
        for week in range(18, 100, 8):
            verdict, evaluation = compare(History(loop), champion_at=week - 8, candidate_at=week)
            _print_verdict(f"{week}, {week - 8}", verdict, evaluation)


if __name__ == "__main__":
    raise SystemExit(main())
