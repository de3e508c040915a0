"""What a loop is said to cost idle is counted on what is really deployed."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from infra.guardrails import SLOTS
from infra.packaging import ROOT
from perennial.cost import Usage, guardrail_metrics
from perennial.project import load_loop
from tests.infra.conftest import Assembly


def test_every_metric_that_an_alarm_watches_is_billed(assembly: Assembly):
    loop = load_loop(ROOT / "loops" / "bikeshare")
    watched = {"Serving": 0, "Observability": 0}
    for part, _, alarm in assembly.resources("AWS::CloudWatch::Alarm"):
        queries = alarm["Properties"].get("Metrics", [{"MetricStat": "the only one"}])
        watched[part] += sum("MetricStat" in query for query in queries)
    assert watched == {"Serving": guardrail_metrics(loop), "Observability": Usage().watched_metrics}


def test_composite_alarms_keys_dashboards_and_polled_queues_are_as_many_as_are_billed(assembly: Assembly):
    def count(kind: str) -> int:
        return len(list(assembly.resources(kind)))

    use = Usage()
    assert count("AWS::CloudWatch::CompositeAlarm") == use.composite_alarms
    assert count("AWS::KMS::Key") == use.keys
    assert count("AWS::Lambda::EventSourceMapping") == use.polled_queues
    assert count("AWS::CloudWatch::Dashboard") == 1


def test_every_metric_that_a_function_emits_is_billed():
    emitted = {name for path in _sources() for name in _emitted(ast.parse(path.read_text(encoding="utf-8")))}
    billed = sum(len(SLOTS) if by_variant else 1 for _, by_variant in emitted)
    assert billed == Usage().metrics, sorted(emitted)


def _sources() -> Iterator:
    yield from (ROOT / "functions").glob("*.py")
    yield from (ROOT / "perennial" / "aws").glob("*.py")


def _emitted(tree: ast.Module) -> Iterator[tuple[str, bool]]:
    """Names given to `metrics.add`, and whether the metric is a variant's."""
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add"):
            continue
        if "metrics" in ast.unparse(node.func.value):
            assert isinstance(node.args[0], ast.Constant), ast.unparse(node)
            yield node.args[0].value, any(keyword.arg == "variant" for keyword in node.keywords)
