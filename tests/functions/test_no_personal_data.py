"""P61: whatever a file holds, nothing of it reaches events, catalog, ledger, messages, metrics or logs; S6."""

from __future__ import annotations

import gzip
import io
import json
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from functions import append_ledger, join_labels, validate_batch
from functions._shell import lambda_handler
from perennial.narration import tell
from perennial.project import Loop
from tests.builders import make_loop
from tests.functions.world import AUDIT, World, load_event

CANARY = "jane.doe-CANARY-7731"
GOOD = {"id": "d1", "ts": "2026-03-01T00:00:00Z", "x": 1.0, "color": "red"}


def csv(*lines: str) -> bytes:
    return ("\n".join(lines) + "\n").encode()


def jsonl(*lines: Any) -> bytes:
    return "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines).encode()


def parquet(**columns: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


HEADER = "id,ts,x,color"
ROW = "d1,2026-03-01T00:00:00Z,1.0,red"
TEXT = pa.array([CANARY])
FILES = {
    "a first row for a header": ("a.csv", csv(f"{CANARY},+49 170,{CANARY}-2,1980-02-03", "r2,2,3,4")),
    "a header of broken quotes": ("a.csv", csv(f'"{CANARY}"x,ts,x,color', ROW)),
    "a header that is no UTF-8": ("a.csv", CANARY.encode() + b"\xff,ts,x,color\n" + ROW.encode() + b"\n"),
    "a header that says it twice": ("a.csv", csv(f"{HEADER},{CANARY},{CANARY}", f"{ROW},1,2")),
    "a new column": ("a.csv", csv(f"{HEADER},{CANARY}", f"{ROW},1")),
    "cells of wrong types": ("a.csv", csv(HEADER, f"d1,{CANARY},{CANARY},{CANARY}", ROW.replace("d1", "d2"))),
    "rows of other widths": ("a.csv", csv(HEADER, f"{CANARY},1", f"{ROW},{CANARY}", ROW)),
    "quotes that never close": ("a.csv", csv(HEADER, ROW, f'd2,"{CANARY}')),
    "an id twice": ("a.csv", csv(HEADER, ROW.replace("d1", CANARY), ROW.replace("d1", CANARY))),
    "no gzip": ("a.csv.gz", CANARY.encode() * 9),
    "half a gzip": ("a.csv.gz", gzip.compress(csv(HEADER, ROW.replace("d1", CANARY)) * 99)[:-20]),
    "an unknown suffix": ("a.txt", CANARY.encode()),
    "JSON lines of other names": ("a.jsonl", jsonl({CANARY: 1, f"{CANARY}-2": CANARY})),
    "JSON lines of wrong types": ("a.jsonl", jsonl({**GOOD, "x": CANARY}, {**GOOD, "id": "d2", "ts": CANARY}, GOOD)),
    "JSON lines that are none": ("a.jsonl", jsonl(f"{{{CANARY}", f'{{"id": "\\{CANARY}"}}', f'["{CANARY}"]', GOOD)),
    "a JSON name twice": ("a.jsonl", jsonl(f'{{"{CANARY}": 1, "{CANARY}": 2}}', GOOD)),
    "a new JSON name": ("a.jsonl", jsonl({**GOOD, CANARY: CANARY})),
    "no Parquet": ("a.parquet", CANARY.encode() * 9),
    "a Parquet file of other names": ("a.parquet", parquet(**{CANARY: TEXT})),
    "a Parquet column of another type": (
        "a.parquet",
        parquet(id=TEXT, ts=pa.array([datetime(2026, 3, 1, tzinfo=UTC)]), x=pa.array([{CANARY: CANARY}]), color=TEXT),
    ),
    "a Parquet zone of nowhere": (
        "a.parquet",
        parquet(id=TEXT, ts=pa.array([1], pa.timestamp("us")), x=pa.array([1], pa.timestamp("us", CANARY)), color=TEXT),
    ),
    "a new Parquet column": ("a.parquet", parquet(id=TEXT, ts=TEXT, x=TEXT, color=TEXT, **{CANARY: TEXT})),
}  # fmt: skip


# The rule that each file is about: one that stops at another rule shows nothing.
REFUSED_BY = {
    "a first row for a header": "columns color, id, ts must be there. Got 4 columns that the contract doesn't name",
    "a header of broken quotes": "the header must be one CSV line",
    "a header that is no UTF-8": "the header must be UTF-8",
    "a header that says it twice": "column names must differ. Got 1 column that the contract doesn't name",
    "a new column": "Got a change instead (1 new column)",
    "cells of wrong types": "ts must be an ISO 8601 time",
    "rows of other widths": "row must have 4 fields",
    "quotes that never close": "row must close its quotes",
    "an id twice": "id must be unique",
    "no gzip": "the file must decompress",
    "half a gzip": "the file must decompress",
    "an unknown suffix": "the file must be csv",
    "JSON lines of other names": "Got 2 columns that the contract doesn't name",
    "JSON lines of wrong types": "x must be a finite number",
    "JSON lines that are none": "row must be one JSON object",
    "a JSON name twice": "a name comes twice",
    "a new JSON name": "Got a change instead (1 new column)",
    "no Parquet": "the file must be Parquet",
    "a Parquet file of other names": "Got 1 column that the contract doesn't name",
    "a Parquet column of another type": "x must be number. Got struct instead",
    "a Parquet zone of nowhere": "x must be number. Got timestamp instead",
    "a new Parquet column": "Got a change instead (1 new column)",
}


def loop_of(key: str, **quality: Any) -> Loop:
    loop = make_loop()
    kind = key.partition(".")[2].partition(".")[0]
    contract = loop.contract.model_copy(
        update={
            "format": kind if kind in ("csv", "jsonl", "parquet") else "csv",
            "quality": loop.contract.quality.model_copy(update=quality),
        }
    )
    return loop.model_copy(update={"contract": contract})


@pytest.mark.parametrize("change", ["reject", "accept", "evolve"])
@pytest.mark.parametrize("name", FILES)
def test_p61_nothing_of_a_file_is_said_of_it(
    world: World, name: str, change: str, capsys: pytest.CaptureFixture[str]
) -> None:
    key, data = FILES[name]
    world.deploy(loop_of(key, on_schema_change=change, max_invalid_rate=1.0 if change == "accept" else 0.0))

    answer = world.run(validate_batch, world.land(data, f"batches/{key}"))

    events = world.announced()
    assert answer == {"batchItemFailures": []}
    assert len(events) == 1
    for event in events:
        put_on_record(world, event)
    told = capsys.readouterr()
    said = {
        "events": [event.model_dump_json() for event in events],
        "messages": [tell(event) for event in events],
        "catalog": [repr(item) for item in world.items().items()],
        "ledger": [ledger(world)],
        "logs and metrics": [told.out, told.err],
    }
    assert [where for where, texts in said.items() if any(CANARY in text for text in texts)] == []
    if change == "reject":
        assert REFUSED_BY[name] in json.loads(events[0].model_dump_json())["reasons"][0]


def put_on_record(world: World, event: Any) -> None:
    message = load_event("sqs_s3_object_created")
    body = {
        "detail-type": event.detail_type,
        "source": "perennial",
        "detail": json.loads(event.model_dump_json()),
    }
    message["Records"][0]["body"] = json.dumps(body)
    assert world.run(append_ledger, message) == {"batchItemFailures": []}


def ledger(world: World) -> str:
    listed = world.clients.s3.list_objects_v2(Bucket=AUDIT, Prefix="ledger/")["Contents"]
    return "".join(world.clients.s3.get_object(Bucket=AUDIT, Key=one["Key"])["Body"].read().decode() for one in listed)


@pytest.mark.parametrize(
    "data", [csv(f"{CANARY},1", "d2,1"), csv("id,y", f"d1,{CANARY}"), csv(f"id,y,{CANARY}", "d1,1,2")]
)
def test_p61_nothing_of_a_label_file_is_said_of_it(
    world: World, data: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    world.run(join_labels, world.land(data, "labels/a.csv"))

    told, events = capsys.readouterr(), world.announced()
    texts = [repr(world.items()), told.out, told.err, *(event.model_dump_json() for event in events)]
    assert len(events) == 1
    assert not any(CANARY in text for text in texts)


def test_a_refusal_says_how_many_names_are_unknown_and_which_are_known(world: World) -> None:
    world.run(validate_batch, world.land(csv(f"x,{CANARY},{CANARY}2,color", "1,2,3,4")))

    [event] = world.announced()
    assert any(
        "Got x, color and 2 columns that the contract doesn't name instead" in reason for reason in event.reasons
    )


def test_an_error_of_somebody_elses_keeps_its_name_and_place_and_loses_its_words(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a handler raises goes into Lambda's log and, by a state machine's Catch, into the ledger."""

    def run(event: Any, shell: Any) -> None:
        raise LookupError(f"could not convert {CANARY}")

    run.__module__ = "functions.validate_batch"
    for name, value in world.shell(validate_batch).settings.to_environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("POWERTOOLS_TRACE_DISABLED", "1")
    with pytest.raises(Exception, match="may quote data") as raised:
        lambda_handler(validate_batch.Settings, run)({}, None)
    assert type(raised.value).__name__ == "LookupError"
    assert raised.traceback[-1].name == "run"
    assert raised.value.__suppress_context__
