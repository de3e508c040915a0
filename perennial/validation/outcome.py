"""What validation says of a file, and the limits it keeps while it reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from perennial.contract import Column, Contract
from perennial.profile import Profile
from perennial.validation.recent_ids import IdIndex, RecentIds

__all__ = ["Limits", "Outcome", "SchemaChange", "Violation"]


@dataclass(frozen=True, slots=True)
class Limits:
    """
    What one file may cost, however it was made. Reading stops at the first of these, and the file is rejected.

    `max_bytes` after decompression; `max_ratio` of decompressed to landed bytes, looked at beyond 16 MB;
    `max_cells` rows times columns; `max_page_bytes` of one Parquet page. Lines, fields and nesting beyond their limits
    cost only their own row. `max_record_lines` is how far a quoted field may reach over line ends. `block_bytes` of
    text, or `block_rows` of Parquet, are worked on at a time by each worker.
    """

    max_bytes: int = 16 << 30
    max_ratio: float = 200.0
    max_cells: int = 4_000_000_000
    max_columns: int = 4_096
    max_line_bytes: int = 1 << 20
    max_field_bytes: int = 256 << 10
    max_record_lines: int = 200
    max_nesting: int = 64
    max_page_bytes: int = 64 << 20
    max_text_characters: int = 4_096
    block_bytes: int = 8 << 20
    block_rows: int = 1 << 16


@dataclass(frozen=True, slots=True)
class Violation:
    """Why a file was rejected: a `code` for machines, a sentence for people."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class SchemaChange:
    """Columns that came or went; `evolved` is the contract with them, to be adopted under the policy "evolve"."""

    added: tuple[tuple[str, Column], ...] = ()
    missing: tuple[str, ...] = ()
    evolved: Contract | None = None

    def __str__(self) -> str:
        # Counted, not named: what a file calls its columns may be data (see perennial.validation.columns).
        parts = [f"{len(self.added)} new column{'' if len(self.added) == 1 else 's'}"] if self.added else []
        parts += [f"missing columns {', '.join(self.missing)}"] if self.missing else []
        return "; ".join(parts)


@dataclass(frozen=True)
class Outcome:
    """
    The verdict on a landed file: `rows_landed == rows_accepted + rows_quarantined + rows_blank`, always.

    A rejected file has no accepted rows and no profile: every row that was read is quarantined with it, and what was
    written to `curated` must be thrown away. `reason_counts` counts rows by reason (a row may have several), worst
    first. `record_ids` holds the accepted rows' ids, to be merged into the recent ids of later files.
    """

    accepted: bool
    reasons: tuple[Violation, ...]
    rows_landed: int
    rows_accepted: int
    rows_quarantined: int
    rows_blank: int
    reason_counts: dict[str, int]
    profile: Profile | None
    first_event_at: datetime | None
    last_event_at: datetime | None
    schema_change: SchemaChange | None
    content_digest: str
    ids: IdIndex | None = field(default=None, repr=False, compare=False)

    @property
    def record_ids(self) -> RecentIds:
        """The set of the accepted rows' ids; made when asked for."""
        return RecentIds(self.ids.hashes) if self.ids is not None else RecentIds()

    def to_json(self) -> dict[str, Any]:
        """All but the profile and the ids, as plain values."""
        return {
            "accepted": self.accepted,
            "reasons": [{"code": r.code, "message": r.message} for r in self.reasons],
            "rows_landed": self.rows_landed,
            "rows_accepted": self.rows_accepted,
            "rows_quarantined": self.rows_quarantined,
            "rows_blank": self.rows_blank,
            "reason_counts": dict(self.reason_counts),
            "first_event_at": self.first_event_at.isoformat() if self.first_event_at else None,
            "last_event_at": self.last_event_at.isoformat() if self.last_event_at else None,
            "schema_change": str(self.schema_change) if self.schema_change else None,
            "content_digest": self.content_digest,
        }
