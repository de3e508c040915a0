"""`perennial drift`: the deployed check on stored profiles, and its page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from rich.console import Group
from rich.text import Text

from perennial.cli.data import read_profile
from perennial.cli.project_root import load_named_loop
from perennial.contract import Contract
from perennial.drift import (
    Calibration,
    DriftPolicy,
    DriftReport,
    calibrate,
    check,
    choose_reference,
    look_jointly,
    policy_for,
)
from perennial.drift.places import season_of
from perennial.profile import Profile

__all__ = ["Compared", "compare", "render", "write_page"]


@dataclass(frozen=True, slots=True)
class Compared:
    """The check's report with what its page needs; `notes` are sentences on how it was made."""

    loop: str
    report: DriftReport
    earlier: tuple[DriftReport, ...]
    reference: Profile
    window: Profile
    reference_period: str
    window_period: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Watch:
    """What every window of one comparison is checked with."""

    contract: Contract
    policy: DriftPolicy
    reference: Profile
    batches: tuple[Profile, ...]
    begins: tuple[datetime, ...] | None
    calibration: Calibration | None

    def reference_for(self, now: datetime | None) -> tuple[Profile, str | None]:
        """The batches of the window's season where enough are known, else the whole reference."""
        if self.policy.season == "none" or now is None or self.begins is None:
            return self.reference, None
        labels = [season_of(at, self.policy.season) for at in self.begins]
        season = season_of(now, self.policy.season)
        profile, sentence = choose_reference(self.batches, labels, season, policy=self.policy)
        return (self.reference, sentence) if season not in labels else (profile, sentence)

    def check(self, window: Profile, history: Sequence[DriftReport]) -> tuple[DriftReport, str | None]:
        """The window's report, and which reference it was compared with."""
        now = self._last_batch_begins(window)
        reference, sentence = self.reference_for(now)
        calibration, policy = self.calibration, self.policy
        return check(reference, window, calibration=calibration, policy=policy, history=history, now=now), sentence

    def _last_batch_begins(self, window: Profile) -> datetime | None:
        begins = _first_at(window, self.contract)
        every = self.calibration.cadence_seconds if self.calibration is not None else None
        return begins and begins + timedelta(seconds=(every or 0) * (self.policy.window_batches - 1))


def _policy(loop: str) -> tuple[Contract, DriftPolicy]:
    """The contract of a loop, and its drift policy with what the contract says of each column."""
    loaded = load_named_loop(loop)
    return loaded.contract, policy_for(loaded.contract, loaded.triggers.drift or DriftPolicy.model_validate({}))


def compare(
    loop: str, *, reference: Path, current: Path, calibrate_with: Sequence[Path] = (), earlier: Sequence[Path] = ()
) -> Compared:
    """
    The drift report of two stored profiles, as the deployed loop would make it.

    Parameters
    ----------
    calibrate_with
        Profiles of the reference's own batches: they tell what is usual. Their event times give seasons, cadence and
        how far the window is; without times they are taken in the order given.
    earlier
        Profiles of the windows between the reference and `current`: small drift shows in several.
    """
    contract, policy = _policy(loop)
    batches, begins = _in_time([read_profile(path) for path in calibrate_with], contract)
    calibration = calibrate(batches, policy=policy, times=begins) if batches else None
    watch = _Watch(contract, policy, read_profile(reference), batches, begins, calibration)
    history: list[DriftReport] = []
    for profile in _in_time([read_profile(path) for path in earlier], contract)[0]:
        history.append(watch.check(profile, history)[0])
    window = read_profile(current)
    report, sentence = watch.check(window, history)
    compared_with, _ = watch.reference_for(report.evidence.at)
    report = look_jointly(report, compared_with, window, seed=0)
    return Compared(
        loop=loop,
        report=report,
        earlier=tuple(history),
        reference=compared_with,
        window=window,
        reference_period=_period(compared_with, contract),
        window_period=_period(window, contract),
        notes=tuple(_notes(watch, sentence)),
    )


def _notes(watch: _Watch, sentence: str | None) -> list[str]:
    notes = [sentence] if sentence else []
    if watch.calibration is None:
        notes.append("No batches of the reference were given (--calibrate), so nothing is known of what is usual.")
    else:
        notes.append(f"The thresholds: {watch.calibration.reason}.")
        if watch.begins is None:
            unplaced = "neither seasons nor nearness in time count"
            notes.append(f"Batches have no {watch.contract.event_time} to be placed by, so {unplaced}.")
    return notes


def _first_at(profile: Profile, contract: Contract) -> datetime | None:
    column = profile.columns.get(contract.event_time)
    return column.first_at if column is not None else None


def _in_time(
    profiles: Sequence[Profile], contract: Contract
) -> tuple[tuple[Profile, ...], tuple[datetime, ...] | None]:
    """Profiles in the order of their first event, and those times; as given, and None, where one has no time."""
    begins = [_first_at(profile, contract) for profile in profiles]
    known = [at for at in begins if at is not None]
    if len(known) < len(profiles) or not profiles:
        return tuple(profiles), None
    order = sorted(range(len(profiles)), key=lambda place: known[place])
    return tuple(profiles[place] for place in order), tuple(known[place] for place in order)


def _period(profile: Profile, contract: Contract) -> str:
    column = profile.columns.get(contract.event_time)
    rows = f"{profile.rows:,} rows"
    if column is None or column.first_at is None or column.last_at is None:
        return rows
    return f"{rows} from {column.first_at:%Y-%m-%d %H:%M} to {column.last_at:%Y-%m-%d %H:%M}"


def write_page(compared: Compared, path: Path) -> None:
    """The page of a comparison: what changed, by how much, since when, with plots."""
    from perennial.report import drift_page, render_drift

    page = drift_page(
        compared.report,
        compared.reference,
        compared.window,
        title=f"Drift check of {compared.loop}",
        subtitle=f"Window: {compared.window_period}. Reference: {compared.reference_period}.",
        earlier=compared.earlier,
        notes=compared.notes,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render_drift(compared.report, page), encoding="utf-8")


def render(compared: Compared) -> Group:
    """The comparison for a terminal: the verdict, why, each column, and how it was judged."""
    report = compared.report
    tone = {"drifted": "red", "steady": "green"}.get(report.verdict, "yellow")
    since = f" since {report.since:%Y-%m-%d %H:%M}" if report.since is not None else ""
    told = {column.sentence for column in report.columns}
    lines = [Text(f"{report.verdict}{since}", style=f"bold {tone}")]
    lines += [Text(reason) for reason in report.reasons if reason not in told]
    for column in report.columns:
        mark = "drifted" if column.drifted else "look" if column.warned else "steady"
        style = {"drifted": "red", "look": "yellow"}.get(mark, "dim")
        lines.append(Text.assemble((f"  {mark:<8}", style), column.sentence))
    lines += [Text(note, style="dim") for note in compared.notes]
    return Group(*lines)
