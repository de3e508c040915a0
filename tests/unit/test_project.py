import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.errors import LoopInvalid, LoopUnknown
from perennial.metrics import METRICS, default_metric, metrics_of
from perennial.project import Loop, find_loops, load_loop, parse_loop
from tests.builders import LOOP_TOML, make_loop

MODEL = "def build_estimator(hyperparameters):\n    return None\n"


def _write(folder, toml=LOOP_TOML, model=MODEL):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "loop.toml").write_text(toml)
    if model is not None:
        (folder / "model.py").write_text(model)
    return folder


def _mistakes(toml):
    with pytest.raises(LoopInvalid) as caught:
        parse_loop(toml)
    return caught.value.mistakes


def test_a_loop_of_ten_lines_has_every_policy(tmp_path):
    assert len([line for line in LOOP_TOML.splitlines() if line.strip()]) <= 13
    loop = load_loop(_write(tmp_path / "demo"))
    assert (loop.name, loop.task, loop.gate.metric) == ("demo", "binary", "auc")
    assert loop.triggers.drift is not None
    assert loop.rollout.shares == (0.1, 0.5, 1.0)


def test_what_was_written_to_json_comes_back_equal_with_the_same_digest():
    loop = parse_loop(LOOP_TOML)
    again = Loop.from_json(loop.to_json())
    assert loop == again
    assert (loop.digest, loop.to_json(), loop.contract.features) == (
        again.digest,
        again.to_json(),
        again.contract.features,
    )


def test_another_policy_is_another_digest():
    assert make_loop().digest != make_loop(rollout={"bake": "1h"}).digest


FIVE_MISTAKES = """\
[loop]
name = "demo"
task = "binry"

[data]
format = "csv"
record_id = "id"
event_time = "ts"
label = "yy"

[data.columns]
x = {type = "number"}
y = {type = "integer"}

[triggers]
cooldwn = "7d"

[gate]
metric = "acurracy"

[rollout]
steps = [0.5, 0.1]
"""


def test_five_mistakes_are_five_located_sentences():
    expected = (
        'loop.toml:3: [loop] task must be one of binary, multiclass, regression, ranking. Got "binry" instead. '
        'Did you mean "binary"?',
        'loop.toml:9: [data] label must be one of id, ts, x, y. Got "yy" instead. Did you mean "y"?',
        "loop.toml:16: [triggers] cooldwn is not known here: a key must be one of budget, business, confirm, cooldown, "
        "drift, first_batches, first_labelled, max_per_month, new_data, performance, schedule. "
        'Did you mean "cooldown"?',
        f'loop.toml:19: [gate] metric of any task must be one of {", ".join(METRICS)}. Got "acurracy" instead. '
        'Did you mean "accuracy"?',
        "loop.toml:22: [rollout] steps must ascend, such as [0.1, 0.5, 1.0]. Got [0.5, 0.1] instead.",
    )
    assert expected == _mistakes(FIVE_MISTAKES)


@pytest.mark.parametrize(
    ("more", "line", "told"),
    [
        ('[gate]\nmetric = "mae"', 16, 'metric of a task "binary" must be one of accuracy'),
        ("[gate.floors]\nr2 = 0.5", 16, 'a floor of a task "binary" must be one of'),
        ('[gate]\nmetric = "log_loss"\ndirection = "higher"', 17, 'direction must be "lower" for log_loss.'),
        ("[gate]\nmax_forgetting = 0.1", 16, "max_forgetting must have an anchor set"),
        ("[triggers.business]\nmin_rows = 10", 15, "business must have a value per record"),
        ('[triggers.performance]\nmetric = "rmse"', 16, 'metric of a task "binary" must be one of'),
        ('[training]\nmode = "window"', 15, 'window must be given for mode "window"'),
        ('[training]\nmode = "online"', 16, 'Got "online" instead: not implemented yet.'),
        ('[training]\nwindow = "7d"', 16, 'window must be left out for mode "full".'),
        ('[rollout]\nstrategy = "ab"', 16, 'Got "ab" instead: not implemented yet.'),
        ('[rollout]\nbake = "soon"', 16, 'a duration must be like "7d"'),
        ("[rollout]\nbake = true", 16, "a duration must be like"),
        ("[rollout]\nsteps = [0.1, 1.2]", 16, "steps[1] must be at most 1.0. Got 1.2 instead."),
        ("[rollout.fast]\nmax_error_share = nan", 16, "max_error_share must be"),
        ("[governance]\napproval = 'robot'", 16, "approval must be one of auto, manual, bundle."),
        ("[cost]\nmonthly_budget = 0", 16, "monthly_budget must be greater than 0"),
        ("[guvernance]", 15, 'Did you mean "governance"?'),
        ("training = 3", 15, "training must be a table. Got 3 instead."),
    ],
)
def test_each_mistake_is_told_on_its_line(more, line, told):
    (sentence,) = _mistakes(LOOP_TOML + more)
    assert sentence.startswith(f"loop.toml:{line}: ")
    assert told in sentence


def test_a_wrong_column_does_not_hide_a_wrong_label():
    toml = LOOP_TOML.replace('type = "category"', 'type = "colour"').replace('label = "y"', 'label = "z"')
    lines = [sentence.split(":")[1] for sentence in _mistakes(toml)]
    assert lines == ["9", "13"]


def test_a_regression_needs_a_label_that_is_a_number():
    toml = LOOP_TOML.replace('"binary"', '"regression"').replace('label = "y"', 'label = "color"')
    (sentence,) = _mistakes(toml)
    assert 'must be a number for task "regression". Got type "category" instead.' in sentence


def test_a_business_value_must_be_a_number():
    toml = LOOP_TOML.replace('label = "y"', 'label = "y"\nvalue = "color"') + "[triggers.business]\n"
    (sentence,) = _mistakes(toml)
    assert 'value must name a column of numbers. Got one of type "category" instead.' in sentence


def test_a_loop_without_a_label_is_told_so():
    (sentence,) = _mistakes(LOOP_TOML.replace('label = "y"\n', ""))
    assert sentence == "loop.toml:5: [data] label must name the column that is to be predicted. Got nothing instead."


def test_a_syntax_error_is_told_with_its_line():
    (sentence,) = _mistakes("[loop]\nname = \n")
    assert sentence.startswith("loop.toml:2: it must be TOML. Invalid value")


@given(st.text(max_size=200) | st.binary(max_size=200))
def test_no_text_makes_the_reader_crash(content):
    with pytest.raises(LoopInvalid):
        parse_loop(content)


@given(
    st.sampled_from(LOOP_TOML.splitlines()),
    st.sampled_from(["= 3", '= "x"', "= []", "= {}", "= [1]", "= -1", "= 1e400"]),
)
def test_no_value_in_any_place_makes_the_reader_crash(line, value):
    if "=" not in line:
        return
    changed = LOOP_TOML.replace(line, f"{line.split('=')[0]}{value}")
    try:
        parse_loop(changed)
    except LoopInvalid as error:
        assert all(re.match(r"loop\.toml:\d+: ", mistake) for mistake in error.mistakes)


def test_an_unknown_loop_says_which_exist(tmp_path):
    _write(tmp_path / "bikeshare")
    _write(tmp_path / "fraud")
    (tmp_path / "not_a_loop").mkdir()
    assert find_loops(tmp_path) == ("bikeshare", "fraud")
    with pytest.raises(LoopUnknown, match=r"one of: bikeshare, fraud .* Got 'bikeshar' instead. Did you mean 'bike"):
        load_loop(tmp_path / "bikeshar")
    assert find_loops(tmp_path / "nowhere") == ()


def test_the_name_is_the_folders(tmp_path):
    with pytest.raises(LoopInvalid, match=r"loop.toml:2: \[loop\] name must be the folder's, 'other'. Got 'demo'"):
        load_loop(_write(tmp_path / "other"))


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (None, "model.py: the folder must hold it"),
        ("x = 1\n", "model.py:1: it must define build_estimator(hyperparameters)."),
        ("def build_estimater(h): ...\n", 'Did you mean "build_estimater"?'),
        ("\ndef build_estimator(): ...\n", "model.py:2: build_estimator must take the hyperparameters."),
        ("def f(:\n", "model.py:1: it must be Python."),
    ],
)
def test_mistakes_of_model_py_are_told_with_those_of_loop_toml(tmp_path, model, told):
    with pytest.raises(LoopInvalid) as caught:
        load_loop(_write(tmp_path / "demo", LOOP_TOML.replace("csv", "xls"), model))
    assert len(caught.value.mistakes) == 2
    assert told in caught.value.mistakes[1]


@pytest.mark.parametrize("model", ["from mine import build_estimator\n", "build_estimator = make\n", MODEL])
def test_a_model_may_bind_its_estimator_in_any_way(tmp_path, model):
    assert load_loop(_write(tmp_path / "demo", model=model)).name == "demo"


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression", "ranking"])
def test_a_gate_without_a_metric_gets_one_that_fits_the_task(task):
    assert default_metric(task) in metrics_of(task)
    assert make_loop(task=task).gate.metric == default_metric(task)


def test_durations_are_written_as_people_write_them():
    toml = (
        LOOP_TOML + '[triggers]\ncooldown = "7d"\nschedule = "12h"\n[rollout]\nbake = "90m"\n[labels]\nlatency = 30\n'
    )
    loop = parse_loop(toml)
    expected = (604800, "rate(12 hours)", 5400, 30)
    assert expected == (
        loop.triggers.cooldown_seconds,
        loop.triggers.schedule,
        loop.rollout.bake_seconds,
        loop.labels.latency_seconds,
    )


def test_triggers_can_be_switched_off():
    loop = parse_loop(
        LOOP_TOML + '[triggers]\ndrift = false\nperformance = false\nnew_data = false\nschedule = "never"\n'
    )
    triggers = loop.triggers
    assert (triggers.drift, triggers.performance, triggers.new_data, triggers.schedule) == (None, None, None, None)
    assert Loop.from_json(loop.to_json()) == loop
