"""What a user states about drift: a budget of false alarms, and what is too small to matter."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from perennial.contract import Contract

__all__ = ["DriftPolicy", "Season", "policy_for", "weights_of"]

Season = Literal["none", "hour", "weekday", "month"]
WORDS = " (words)"
"""What the words of a text column are called, after the column's name."""
LEAST_WEIGHT = 0.25
"""Share of an average column's budget that a column keeps which the model doesn't use: it may still break."""
PAIR = " x "
"""Between the names of two columns that are looked at together."""
Share = Annotated[float, Field(gt=0, lt=1)]


class DriftPolicy(BaseModel):
    """
    `[triggers.drift]` of a loop.toml.

    The one number to choose is `alarms_per_year`: how many false drift alarms a year are acceptable. It turns into
    the level of each check by the number of checks a year, which follows from the cadence of batches.

    >>> DriftPolicy(alarms_per_year=1).alarm_level(checks_per_year=52)
    0.019230769230769232
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    alarms_per_year: float = Field(1.0, gt=0, description="false drift alarms a year that are acceptable")
    checks_per_year: float | None = Field(
        None, gt=0, description="checks a year; derived from the cadence of the reference's batches when not given"
    )
    alarm_fdr: Share = Field(0.05, description="a check raises a false alarm at most this often, whatever the budget")
    warn_fdr: Share = Field(0.1, description="share of false names among the columns named in an alarm or a warning")
    min_effect: float = Field(0.02, ge=0, le=1, description="smaller changes (KS, or share of rows) never count")
    min_rows: int = Field(100, ge=1, description="a window with fewer rows is inconclusive")
    min_reference_batches: int = Field(20, ge=3, description="fewer batches can't calibrate the thresholds")
    confirm: int = Field(1, ge=1, description="consecutive windows that must raise the alarm")
    window_batches: int = Field(1, ge=1, description="batches that are merged into a window")
    season: Season = Field("none", description="batches of the same hour, weekday or month resemble each other")
    weights: Mapping[str, float] = Field(
        default_factory=dict, description="share of the false-alarm budget by column; 0 leaves a column out"
    )
    floors: Mapping[str, float] = Field(
        default_factory=dict, description="smallest effect that counts by column, where it isn't min_effect"
    )
    fallback_ks: Share = Field(0.1, description="KS that counts as drift while nothing is calibrated")
    fallback_share: Share = Field(0.1, description="share of rows in other categories that counts while uncalibrated")
    fallback_null: Share = Field(0.05, description="change of the null rate that counts while uncalibrated")

    def alarm_level(self, checks_per_year: float | None = None) -> float:
        """Share of checks that may raise a false alarm, given how many there are in a year (None: not known)."""
        checks = self.checks_per_year or checks_per_year
        return min(self.alarm_fdr, self.alarms_per_year / checks) if checks else self.alarm_fdr

    def floor(self, column: str) -> float:
        """Smallest effect that counts in a column; in a pair, the larger of its columns'."""
        if column not in self.floors and PAIR in column:
            return max(self.floor(part) for part in column.split(PAIR))
        return self.floors.get(column, self.floors.get(column.removesuffix(WORDS), self.min_effect))


def policy_for(contract: "Contract", policy: DriftPolicy) -> DriftPolicy:
    """
    The policy with what the contract says of each column: its weight, its floor, and whether it takes part.

    What the policy says itself of a column goes before.
    """
    weights: dict[str, float] = {}
    floors: dict[str, float] = {}
    for name, column in contract.columns.items():
        settings = column.drift
        if settings is False:
            weights[name] = 0.0
            continue
        if settings.weight != 1.0:
            weights[name] = settings.weight
        if settings.floor is not None:
            floors[name] = settings.floor
    return policy.model_copy(update={"weights": weights | dict(policy.weights), "floors": floors | dict(policy.floors)})


def weights_of(importances: Mapping[str, float]) -> dict[str, float]:
    """
    Columns' shares of the budget, 1 on average, by how much the champion relies on each.

    Nothing where no column has any importance.

    >>> weights_of({"temp": 0.9, "hum": 0.1, "wind": 0.0})
    {'temp': 2.275, 'hum': 0.475, 'wind': 0.25}
    """
    shares = {name: max(float(share), 0.0) for name, share in importances.items()}
    total = sum(shares.values())
    if total <= 0:
        return {}
    return {
        name: round(LEAST_WEIGHT + (1 - LEAST_WEIGHT) * share * len(shares) / total, 6)
        for name, share in shares.items()
    }
