"""
Each guard taken out, one by one: the test that names the property must then fail.

A property test that also passes on the mutant would prove nothing. A mutant is the module's own source with one piece
replaced; when the piece is no longer there, the mutant says so, and is to be seeded anew.
"""

from __future__ import annotations

import importlib
import inspect
import types
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.unit import (
    test_dataset,
    test_gate,
    test_governance,
    test_labels,
    test_ledger,
    test_performance,
    test_rollout,
    test_sequential,
    test_trigger,
    test_uniqueness,
)

# The first counterexample is enough: it need be neither small nor the only one. Always the same examples.
FIRST = settings(
    max_examples=400,
    phases=[Phase.explicit, Phase.generate],
    report_multiple_bugs=False,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@dataclass(frozen=True)
class Mutant:
    """Which guard of which module is taken out, and who must notice."""

    property: str
    module: str
    guard: str
    without: str
    tests: types.ModuleType
    test: str
    arguments: tuple = ()

    def __str__(self):
        return f"{self.property}-{self.module}-{self.test}"


MUTANTS = [
    Mutant("P3 P11", "dataset", "return sorted(unique.values(), key=_order)", "return list(unique.values())[::-1]",
           test_dataset, "test_the_newest_batches_judge"),
    Mutant("P11", "dataset", '"labels": [entry.labels_id for entry in labels],', "",
           test_dataset, "test_another_label_file_is_another_version"),
    Mutant("P19", "dataset", "if batch.last_event_at <= cutoff]", "]",
           test_dataset, "test_no_batch_reaches_beyond_the_label_cut_off"),
    Mutant("P19", "dataset", "if entry.as_of is None or entry.as_of <= as_of", "if True",
           test_dataset, "test_what_lands_after_as_of_changes_nothing"),
    Mutant("P40", "dataset", "train = _cap_sources(train, policy.max_source_share, reasons)", "pass",
           test_dataset, "test_no_source_supplies_more_than_its_share_of_what_is_trained_on"),
    Mutant("P41", "dataset", "if batch.batch_id not in golden]", "]",
           test_dataset, "test_the_anchor_never_changes_and_is_never_trained_on_as_history_grows"),
    Mutant("P41", "dataset", 'if _lot(batch.batch_id, "anchor") < policy.anchor_share]',
           "if mature.index(batch) < policy.anchor_share * len(mature)]",
           test_dataset, "test_the_anchor_never_changes_and_is_never_trained_on_as_history_grows"),
    Mutant("-", "dataset", "if batch.batch_id in seen:", "if False:",
           test_dataset, "test_what_the_champion_learnt_from_never_judges"),
    Mutant("P19", "labels", "label.labeled_at is None or label.labeled_at <= as_of", "True",
           test_labels, "test_a_label_made_later_never_changes_what_was_joined_before"),
    Mutant("P20", "labels", "label.labeled_at is not None and label.labeled_at < event_at:", "False:",
           test_labels, "test_no_label_is_older_than_its_record"),
    Mutant("P3", "labels", "if held is None or _rank(label) > _rank(held):", "if True:",
           test_labels, "test_the_order_and_repetition_of_labels_change_nothing"),
    Mutant("P35", "trigger", 'if left > timedelta(0) and signal.kind != "manual":', "if False:",
           test_trigger, "test_signals_within_a_cooldown_start_at_most_one_run"),
    Mutant("P35", "trigger", "if key in state.fired_signals:", "if False:",
           test_trigger, "test_the_same_signal_again_starts_no_second_run"),
    Mutant("P36 P37", "trigger", "if len(month) >= policy.max_per_month:", "if False:",
           test_trigger, "test_no_month_holds_more_runs_than_the_cap"),
    Mutant("P37", "trigger", "return max(as_of, *self.fired_as_of) if self.fired_as_of else as_of", "return as_of",
           test_trigger, "test_old_evidence_does_not_reopen_a_month_that_is_spent"),
    Mutant("P37", "trigger", "if len(month) >= policy.max_per_month:", "if False:",
           test_trigger, "test_alternating_distributions_cannot_exceed_the_cap"),
    Mutant("P42", "trigger", '"suppressed": {},', "", test_trigger, "test_a_flood_is_one_open_alert_with_a_count"),
    Mutant("P18", "trigger", "if signal.as_of > now + _CLOCK_SKEW:", "if False:",
           test_trigger, "test_evidence_from_the_future_neither_fires_nor_blocks_what_follows"),
    Mutant("P34", "gate", "if difference <= max(required, 0.0):", "if difference <= required:",
           test_gate, "test_a_worse_or_an_equal_candidate_never_passes"),
    Mutant("P34", "gate", "if low <= required:", "if False:",
           test_gate, "test_a_gain_must_surely_exceed_what_is_asked"),
    Mutant("P34", "gate", "or not math.isfinite(found.value)", "",
           test_gate, "test_no_number_no_rows_and_contradictions_fail",
           (test_gate.make_first_evaluation(float("nan")),)),
    Mutant("P34", "gate", 'return _unfit("the candidate was not compared with the champion on the same rows")',
           'return Check("comparison", "passed", "")',
           test_gate, "test_no_number_no_rows_and_contradictions_fail", (test_gate.make_evaluation(paired=None),)),
    Mutant("P34", "gate", "if abs(apart - difference) > _ROUNDING * (1 + abs(apart)):", "if False:",
           test_gate, "test_no_number_no_rows_and_contradictions_fail",
           (test_gate.make_evaluation(candidate=test_gate.make_model_evaluation(0.7)),)),
    Mutant("P21", "governance", 'if verdict.verdict != "passed":', 'if verdict.verdict == "failed":',
           test_governance, "test_what_did_not_pass_the_gate_can_not_be_approved",
           (test_gate.make_evaluation(paired=test_gate.make_paired(0.05, margin=0.1)), "auto")),
    Mutant("P25", "governance", "if verdict.artifact_digest != evaluation.artifact_digest:", "if False:",
           test_governance, "test_the_verdict_on_another_artifact_is_worth_nothing"),
    Mutant("P24", "governance", 'if request.status != "pending":', "if False:",
           test_governance, "test_an_answered_request_can_not_be_answered_again", ("granted",)),
    Mutant("P24", "governance", "if name.casefold() == request.requested_by.strip().casefold():",
           "if approver == request.requested_by:",
           test_governance, "test_nobody_approves_their_own_request", ("Perennial ",)),
    Mutant("P24", "governance", "if digest != request.artifact_digest:", "if False:",
           test_governance, "test_another_artifact_is_not_approved"),
    Mutant("P22", "rollout", "kept = max(round(1.0 - share, 6), CHAMPION_MIN_SHARE)", "kept = round(1.0 - share, 6)",
           test_rollout, "test_the_champion_keeps_weight_and_the_sum_is_above_zero"),
    Mutant("P26", "rollout", 'if alarm.state == "ALARM"]', "if False]",
           test_rollout, "test_only_plenty_of_quiet_evidence_moves_traffic"),
    Mutant("P27", "rollout", 'if evidence.status != "in progress":', "if False:",
           test_rollout, "test_only_plenty_of_quiet_evidence_moves_traffic"),
    Mutant("P28", "rollout", 'if alarm.state != "OK"', 'if alarm.state == "ALARM"',
           test_rollout, "test_only_plenty_of_quiet_evidence_moves_traffic"),
    Mutant("P28", "rollout", "if mine.invocations < policy.min_samples:", "if False:",
           test_rollout, "test_only_plenty_of_quiet_evidence_moves_traffic"),
    Mutant("P29", "rollout", "if not evidence.endpoint_as_planned:", "if False:",
           test_rollout, "test_only_plenty_of_quiet_evidence_moves_traffic"),
    Mutant("P31", "rollout", "min(planned, 1 - CHAMPION_MIN_SHARE)", "planned",
           test_rollout, "test_the_endpoints_weights_tell_the_step_after_a_crash"),
    # The likelihood of the best fit instead of the mixture's: no martingale, so each look adds its chance of error.
    Mutant("-", "sequential", "return _log_beta(_A + successes, _B + failures) - _log_beta(_A, _B) - fixed",
           "return _log_ratio_of_best(successes, failures) - fixed\n\n\ndef _log_ratio_of_best(k, m):\n"
           "    return sum(c * math.log(c / (k + m)) for c in (k, m) if c)",
           test_sequential, "test_at_all_looks_together_the_true_share_is_missed_no_oftener_than_said", (0.5,)),
    Mutant("P57", "ledger", "if entry.sequence != position:", "if False:",
           test_ledger, "test_a_number_that_is_skipped_is_found_although_the_hashes_chain"),
    Mutant("P57", "ledger", 'if digest_of(entry.model_dump(exclude={"digest"})) != entry.digest:', "if False:",
           test_ledger, "test_every_edit_is_found"),
    Mutant("P57", "ledger", "if not anchored and head is not None:", "if False:",
           test_ledger, "test_a_cut_off_end_is_found_against_the_anchored_head"),
    Mutant("P57", "ledger", "if entry.digest != head.digest:", "if False:",
           test_ledger, "test_a_rewritten_chain_is_found_against_the_anchored_head"),
    Mutant("P10", "uniqueness", "if other.position < entry.position\n", "if True\n",
           test_uniqueness, "test_only_lower_positions_count_so_that_no_two_batches_take_an_id_from_each_other"),
    Mutant("P10", "uniqueness", "sorted(near, key=lambda other: -other.position)", "near",
           test_uniqueness, "test_the_order_in_which_entries_are_read_changes_nothing"),
    Mutant("P6", "uniqueness", "and other.batch_id != entry.batch_id", "",
           test_uniqueness, "test_a_batch_is_not_held_against_an_earlier_entry_of_itself"),
    Mutant("-", "performance", "if lacking > 0:", "if False:",
           test_performance, "test_too_few_rows_never_say_anything"),
    Mutant("-", "performance", "if maturity is not None and not maturity.mature:", "if False:",
           test_performance, "test_immature_labels_never_say_anything"),
]  # fmt: skip


def _twin(mutant):
    """The module with its guard taken out, beside the real one, and on the real one's types."""
    real = importlib.import_module(f"perennial.{mutant.module}")
    source = inspect.getsource(real)
    found = source.count(mutant.guard)
    assert found == 1, f"{mutant.guard!r} stands {found} times in {real.__name__}"
    twin = types.ModuleType(real.__name__)
    twin.__file__ = real.__file__
    exec(compile(source.replace(mutant.guard, mutant.without), str(real.__file__), "exec"), twin.__dict__)
    return real, twin


def _methods(kind):
    """The functions of a class, those behind properties included, by name."""
    for name, value in vars(kind).items():
        function = value.fget if isinstance(value, property) else value
        if inspect.isfunction(function) and function.__module__ == kind.__module__:
            yield name, value, function.__code__


def _replace(mutant, monkeypatch):
    """Put the twin's functions where the tests and builders hold the real ones, and its methods into the real types."""
    real, twin = _twin(mutant)
    types_of_real = {name: kind for name, kind in vars(real).items() if inspect.isclass(kind)}
    for name, kind in types_of_real.items():
        if kind.__module__ != real.__name__:
            continue
        codes = {method: code for method, _, code in _methods(kind)}
        for method, value, code in _methods(vars(twin)[name]):
            if method in codes and code.co_code != codes[method].co_code:
                monkeypatch.setattr(kind, method, value)
        vars(twin)[name] = kind
    for module in (mutant.tests, importlib.import_module("tests.builders")):
        for name, value in list(vars(module).items()):
            if inspect.isfunction(value) and value is vars(real).get(name):
                monkeypatch.setattr(module, name, vars(twin)[name])


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_the_guards_removal_is_noticed(mutant, monkeypatch):
    _replace(mutant, monkeypatch)
    test = getattr(mutant.tests, mutant.test)
    if hasattr(test, "hypothesis"):
        monkeypatch.setattr(test, "_hypothesis_internal_use_settings", FIRST)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        test(*mutant.arguments)
