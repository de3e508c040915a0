"""The demo from start to end: the local cloud, the acts, the summary, the report."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.table import Table

from perennial.cli.activity import Hope
from perennial.cli.console import err, out
from perennial.cli.demo.feed import Feed
from perennial.cli.demo.narrator import Narrator
from perennial.cli.demo.script import Demo, DemoStalled, by_schedule
from perennial.cli.demo.stream import load_stream
from perennial.cli.demo.traffic import Traffic
from perennial.cli.local import DEMO_SCALES, LocalCloud, local_cloud
from perennial.cli.project_root import find_root, load_named_loop
from perennial.events import RetrainingRequested

__all__ = ["show"]

HISTORY_WEEKS = 12
MOST_WEEKS = 60
MINIMUM_BATCHES = 20
MINIMUM_PROMOTIONS = 2
ACCIDENTS = 3


def show(loop: str, *, stage: str, port: int, report: Path) -> bool:
    """Run the demo; true when everything that it promises happened."""
    root = find_root()
    loaded = load_named_loop(loop, root)
    stream = load_stream(root / "loops" / loop)
    state = _fresh_state(root / ".perennial" / "demos")
    narrator = Narrator(out)
    with local_cloud(root, loop, port=port, state_dir=state, scales=DEMO_SCALES, stage=stage, passing=True) as cloud:
        narrator.say(f"local cloud at {cloud.server.endpoint_url}; no AWS account, no Docker")
        _deploy(cloud, narrator)
        deployment = cloud.deployment()
        with (
            Feed(deployment, narrator.tell) as feed,
            Traffic(deployment, record_id=loaded.contract.record_id) as traffic,
        ):
            demo = Demo(deployment, stream, feed, traffic, narrator.say, Hope(deployment))
            try:
                _acts(demo)
            except DemoStalled as error:
                err.print(str(error), style="red")
                err.print(f"the local cloud's log: {os.path.relpath(cloud.server.log_path)}", style="red")
            time.sleep(1.0)
        rows = _facts(demo)
        _print_summary(demo, rows)
        report = root / report
        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_text(narrator.report(demo, _promises(demo)), encoding="utf-8")
    out.print(f"\nreport: {os.path.relpath(report)}")
    kept = all(held for _, held, _ in rows) and len(demo.accidents) == ACCIDENTS
    _tidy(state, keep_logs=not kept)
    return kept


def _tidy(state: Path, *, keep_logs: bool) -> None:
    """Remove what a demo leaves behind, which is more than a gigabyte; logs stay where somebody has to read them."""
    if not keep_logs:
        shutil.rmtree(state, ignore_errors=True)
        return
    for path in state.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.suffix != ".log":
            path.unlink()


def _fresh_state(folder: Path) -> Path:
    """A folder of this run's own; those of runs that are over are removed, those of others that go on are not."""
    for other in folder.glob("*"):
        if not _alive(other.name):
            shutil.rmtree(other, ignore_errors=True)
    return folder / str(os.getpid())


def _alive(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


def _deploy(cloud: LocalCloud, narrator: Narrator) -> None:
    assembly = cloud.server.state_dir / "cdk.out"
    with _timed(narrator, "stacks synthesized once"), out.status("synthesizing"):
        cloud.synthesize(assembly)
    with _timed(narrator, "deployed by the CDK CLI, as to AWS"), out.status("deploying"):
        cloud.deploy(assembly)


@contextmanager
def _timed(narrator: Narrator, done: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    narrator.say(f"{done} ({time.monotonic() - started:.0f} s)")


def _acts(demo: Demo) -> None:
    demo.first_model(HISTORY_WEEKS)
    accidents: list[Callable[[], None]] = [demo.poisoned_batch, demo.flipped_labels, demo.failure_in_service]
    while demo.next_week < MOST_WEEKS and not (_complete(demo) and not accidents):
        demo.live_week()
        if accidents and (demo.canary_promotions() > 3 - len(accidents) or demo.next_week % 6 == 0):
            accidents.pop(0)()
        if not accidents and not demo.count(RetrainingRequested, by_schedule):
            demo.scheduled_retraining()


def _complete(demo: Demo) -> bool:
    return all(held for _, held, _ in _promises(demo))


def _promises(demo: Demo) -> list[tuple[str, bool, str]]:
    """What the demo promises to show: name, whether it happened, the figure."""
    drift = demo.count(RetrainingRequested, lambda event: event.signal == "drift")
    scheduled = demo.count(RetrainingRequested, by_schedule)
    promotions = demo.canary_promotions()
    return [
        (f"landed batches, at least {MINIMUM_BATCHES}", demo.landed >= MINIMUM_BATCHES, str(demo.landed)),
        ("drift-triggered retraining", drift >= 1, str(drift)),
        ("scheduled retraining", scheduled >= 1, str(scheduled)),
        ("promotions through canary steps, at least 2", promotions >= MINIMUM_PROMOTIONS, str(promotions)),
    ]


def _facts(demo: Demo) -> list[tuple[str, bool, str]]:
    return _promises(demo) + [(accident.name, accident.survived, accident.sentence) for accident in demo.accidents]


def _print_summary(demo: Demo, rows: list[tuple[str, bool, str]]) -> None:
    table = Table(title="what happened", title_justify="left")
    for column in ("promise", "seen", "kept"):
        table.add_column(column)
    for name, held, figure in rows:
        table.add_row(name, figure, "yes" if held else "[red]NO[/red]")
    for slot, (answered, failed) in sorted(demo.traffic.counts().items()):
        table.add_row(f"requests answered by {slot}", f"{answered:,} ({failed} failed)", "")
    out.print(table)
