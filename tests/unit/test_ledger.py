import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.canonical import canonical_json, digest
from perennial.errors import LedgerBroken
from perennial.ledger import GENESIS, Head, LedgerEntry, append, verify
from tests.builders import NOW, make_ledger


def _head(entries):
    return Head(entries[-1].sequence, entries[-1].digest)


def test_a_chain_verifies_and_gives_its_head():
    entries = make_ledger(5)
    assert _head(entries) == verify(entries)
    assert entries[0].previous == GENESIS


def test_an_empty_ledger_has_no_head():
    assert verify([]) is None


@given(st.integers(1, 8), st.data())
def test_every_edit_is_found(count, data):
    """P57: any field of any entry."""
    entries = make_ledger(count)
    place = data.draw(st.integers(0, count - 1))
    field, value = data.draw(
        st.sampled_from(
            [
                ("detail", {"rows": 10**6}),
                ("kind", "Model Promoted"),
                ("at", NOW.replace(year=2025)),
                ("entry_id", "another"),
                ("previous", "1" * 64),
                ("digest", "2" * 64),
                ("sequence", 99),
                ("loop", "other"),
            ]
        )
    )
    entries[place] = entries[place].model_copy(update={field: value})
    with pytest.raises(LedgerBroken, match="ledger entry"):
        verify(entries)


@given(st.integers(2, 8), st.data())
def test_every_deletion_reordering_and_repetition_is_found(count, data):
    """P57."""
    entries = make_ledger(count)
    place = data.draw(st.integers(0, count - 2))
    for broken in (
        entries[:place] + entries[place + 1 :],
        [*entries[:place], entries[place + 1], entries[place], *entries[place + 2 :]],
        [*entries[: place + 1], *entries[place:]],
    ):
        with pytest.raises(LedgerBroken):
            verify(broken)


def test_a_number_that_is_skipped_is_found_although_the_hashes_chain():
    """P57: a writer that left an entry out and hashed on."""
    entries = make_ledger(2)
    skipped = append(entries[-1], loop="demo", at=NOW, kind="Model Promoted", entry_id="x", detail={})
    body = {**skipped.model_dump(exclude={"digest"}), "sequence": 3}
    with pytest.raises(LedgerBroken, match="must follow"):
        verify([*entries, LedgerEntry(**body, digest=digest(body))])


@given(st.integers(1, 8), st.data())
def test_a_cut_off_end_is_found_against_the_anchored_head(count, data):
    """P57: the chain alone still verifies, so the head is kept elsewhere."""
    entries = make_ledger(count)
    kept = data.draw(st.integers(0, count - 1))
    with pytest.raises(LedgerBroken, match="its end was cut off"):
        verify(entries[:kept], _head(entries))


def test_a_rewritten_chain_is_found_against_the_anchored_head():
    """P57: a fork that is consistent in itself."""
    entries, forked = make_ledger(4), make_ledger(2)
    forked.append(append(forked[-1], loop="demo", at=NOW, kind="Model Promoted", entry_id="x", detail={}))
    forked.append(append(forked[-1], loop="demo", at=NOW, kind="Model Promoted", entry_id="y", detail={}))
    assert verify(forked) is not None
    with pytest.raises(LedgerBroken, match="not the one that was anchored"):
        verify(forked, _head(entries))


def test_a_chain_that_grew_since_it_was_anchored_verifies():
    entries = make_ledger(6)
    assert _head(entries) == verify(entries, _head(entries[:3]))


DETAIL = st.dictionaries(
    st.text(max_size=5),
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
)


@given(DETAIL)
def test_an_entry_verifies_after_it_was_stored_and_read(detail):
    entry = append(None, loop="demo", at=NOW, kind="Batch Accepted", entry_id="e", detail=detail)
    again = LedgerEntry.model_validate_json(entry.to_json())
    assert entry.to_json() == again.to_json() == canonical_json(again)
    assert verify([again]) == verify([entry])
