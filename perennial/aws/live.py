"""
The live pointer: which slot serves, what each slot holds, and the rollout in progress, in one catalog item.

One item, because it decides races: promotion and roll-back both replace a version of it, so whichever comes first
wins and the other one sees that it has.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict

from perennial import keys
from perennial.aws.catalog import Catalog
from perennial.errors import Fenced
from perennial.rollout import Live, RolloutPlan, Slot, SlotState

__all__ = ["InProgress", "LivePointer", "LiveState"]


class InProgress(BaseModel):
    """The rollout that holds the challenger's slot."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    rollout_id: str
    model_version: str
    challenger_slot: Slot
    champion_slot: Slot | None
    fencing_token: int
    started_at: AwareDatetime
    status: Literal["in progress", "rolling back", "rolled back"] = "in progress"


@dataclass(frozen=True, slots=True)
class LiveState:
    """One version of the pointer; the methods give the next one and change nothing."""

    live: Live
    rollout: InProgress | None = None
    previous_slot: Slot | None = None

    @classmethod
    def from_item(cls, item: dict[str, Any]) -> Self:
        """The state that an item says; an empty one where there is none."""
        slots = {slot: SlotState.model_validate(held) for slot, held in (item.get("models") or {}).items()}
        live = Live.model_validate({"champion_slot": item.get("champion_slot"), "slots": slots})
        raw = item.get("rollout")
        return cls(live, InProgress.model_validate(raw) if raw else None, item.get("previous_slot"))

    def to_item(self) -> dict[str, Any]:
        """The item; `champion` and `slots` repeat in plain words what a person looks for first."""
        champion = self.live.champion
        return {
            "champion": champion.model_version if champion else None,
            "champion_slot": self.live.champion_slot,
            "slots": {slot: held.model_version for slot, held in self.live.slots.items()},
            "models": {slot: held.model_dump(mode="json") for slot, held in self.live.slots.items()},
            "previous_slot": self.previous_slot,
            "rollout": self.rollout.model_dump(mode="json") if self.rollout else None,
        }

    def holds(self, rollout_id: str) -> bool:
        """Whether this rollout is the one in progress, whatever became of it."""
        return self.rollout is not None and self.rollout.rollout_id == rollout_id

    def starting(self, plan: RolloutPlan, *, model_data_url: str, now: datetime) -> LiveState:
        """The challenger has its slot; the champion still takes all traffic."""
        held = SlotState(
            model_version=plan.model_version,
            model_name=plan.model_name,
            artifact_digest=plan.artifact_digest,
            model_data_url=model_data_url,
        )
        rollout = InProgress(
            rollout_id=plan.rollout_id,
            model_version=plan.model_version,
            challenger_slot=plan.challenger_slot,
            champion_slot=plan.champion_slot,
            fencing_token=plan.fencing_token,
            started_at=now,
        )
        live = self.live.model_copy(update={"slots": {**self.live.slots, plan.challenger_slot: held}})
        return LiveState(live, rollout, None)

    def marked(self, status: Literal["rolling back", "rolled back"]) -> LiveState:
        """The rollout in progress goes back: from here on nothing advances or promotes it."""
        assert self.rollout is not None
        return LiveState(self.live, self.rollout.model_copy(update={"status": status}), self.previous_slot)

    def closed(self) -> LiveState:
        """The rollout that went back is over: its slot is free."""
        assert self.rollout is not None
        kept = {slot: held for slot, held in self.live.slots.items() if slot != self.rollout.challenger_slot}
        return LiveState(self.live.model_copy(update={"slots": kept}), None, None)

    def promoted(self, *, keep_previous: bool) -> LiveState:
        """The challenger is the champion; the former one stays warm where the policy keeps it."""
        assert self.rollout is not None
        mine, former = self.rollout.challenger_slot, self.rollout.champion_slot
        kept = {slot: held for slot, held in self.live.slots.items() if slot == mine or keep_previous}
        live = self.live.model_copy(update={"champion_slot": mine, "slots": kept})
        return LiveState(live, None, former if keep_previous and former in kept else None)

    def swapped(self) -> LiveState:
        """The previous champion, kept warm, is the champion again."""
        assert self.previous_slot is not None
        return LiveState(self.live.model_copy(update={"champion_slot": self.previous_slot}), None, None)


@dataclass(frozen=True)
class LivePointer:
    """The pointer of one loop in the catalog."""

    catalog: Catalog
    loop: str

    def read(self) -> LiveState:
        """What serves now."""
        return LiveState.from_item(self.catalog.get(keys.live_item(self.loop)) or {})

    def change(self, writer: str, next_state: Callable[[LiveState], LiveState | None]) -> LiveState:
        """
        Replaces the state by what `next_state` makes of it (None: leave it); gives what stands afterwards.

        Parameters
        ----------
        writer
            Who changes it to what: equal for a retry of the same change.

        Raises
        ------
        Fenced
            Others were faster, again and again.
        """
        key = keys.live_item(self.loop)
        for _ in range(10):
            item, version = self.catalog.get_versioned(key)
            state = LiveState.from_item(item)
            following = next_state(state)
            if following is None:
                return state
            token = f"{writer}#{version}"
            if self.catalog.put_version(key, following.to_item(), expected=version, token=token):
                return following
        raise Fenced("the live pointer must stand still for a moment. Got ten changes by others instead.")
