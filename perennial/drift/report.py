"""What a drift check answers: a verdict, what changed in each column by how much, and sentences that say so."""

from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

__all__ = ["ColumnDrift", "DriftReport", "JointDrift", "Verdict", "WindowEvidence"]

Verdict = Literal["drifted", "steady", "inconclusive"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ColumnDrift(_Frozen):
    """
    One column of a window against the reference.

    Effects (`ks`, `wasserstein_normed` in reference standard deviations, `psi`, `jensen_shannon`, `cramers_v`,
    `total_variation`) are None where they don't apply. `effect` is the largest change as a share of rows, 0 to 1.
    `p_value`: how rarely batches of an undrifted stream differ this much; `adjusted_p_value`: the same among all
    columns (Benjamini-Hochberg). `changed` names the aspect that `p_value` is about.
    """

    name: str
    kind: Literal["number", "category"]
    ks: float | None = None
    wasserstein_normed: float | None = None
    psi: float | None = None
    jensen_shannon: float | None = None
    total_variation: float | None = None
    cramers_v: float | None = None
    null_rate_reference: float
    null_rate_window: float
    null_rate_change: float
    new_category_share: float = 0.0
    effect: float
    usual_effect: float | None = None
    changed: str
    p_value: float
    adjusted_p_value: float
    weight: float = 1.0
    drifted: bool
    warned: bool
    since: AwareDatetime | None = None
    sentence: str


class WindowEvidence(_Frozen):
    """
    What later checks need of a window: its scores by column and aspect, its place in time, and what it raised.

    Hand the evidence of the windows since the reference, oldest first, to the next check as `history`: drift too
    small to be told from chance in one window shows in several.
    """

    at: AwareDatetime | None = None
    rows: int
    positions: tuple[float, ...] | None
    seasons: tuple[str, ...]
    scores: dict[str, dict[str, tuple[float, ...]]]
    raised: tuple[str, ...] = ()


class JointDrift(_Frozen):
    """
    Whether rows of a window can be told from rows of the reference, when no single column shows anything.

    `auc`: chance that a classifier ranks a row of the window above one of the reference, on rows it did not learn
    from; 0.5 is guessing. `columns`: what it relied on most, strongest first. `rows`: in both samples.
    """

    verdict: Verdict
    auc: float
    p_value: float
    rows: tuple[int, int]
    columns: tuple[str, ...]
    sentence: str


class DriftReport(_Frozen):
    """
    The answer of one drift check; `reasons` are sentences, the most important first.

    `joint` is there where the columns together were looked at as well: worth a look, never an alarm, since the budget
    of false alarms is spent on the columns.
    """

    verdict: Verdict
    columns: tuple[ColumnDrift, ...]
    reasons: tuple[str, ...]
    since: AwareDatetime | None = None
    calibrated: bool
    alarm_level: float
    evidence: WindowEvidence
    joint: JointDrift | None = None

    @property
    def worth_a_look(self) -> bool:
        """Whether a person should see it: an alarm, a warning, or columns that drifted together only."""
        marked = any(column.drifted or column.warned for column in self.columns)
        return marked or (self.joint is not None and self.joint.verdict == "drifted")

    @property
    def drifted_columns(self) -> tuple[str, ...]:
        """Names of the columns that the alarm is about."""
        return tuple(column.name for column in self.columns if column.drifted)

    def to_json(self) -> str:
        """JSON of the whole report; `DriftReport.model_validate_json` reads it back."""
        return self.model_dump_json()
