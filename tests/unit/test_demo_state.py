"""A demo leaves its report behind, and not the gigabyte that it took to make it."""

from perennial.cli.demo.show import _tidy


def _state(folder):
    for name in ("s3/bucket/object", "ministack/s3.json", "localcloud.log", "deploy.log", "outputs.json"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    return folder


def test_a_demo_that_kept_its_promises_leaves_no_state(tmp_path):
    state = _state(tmp_path / "1234")
    _tidy(state, keep_logs=False)
    assert list(tmp_path.iterdir()) == []


def test_a_demo_that_fell_short_leaves_the_logs_that_it_names(tmp_path):
    state = _state(tmp_path / "1234")
    _tidy(state, keep_logs=True)
    assert sorted(path.name for path in state.iterdir()) == ["deploy.log", "localcloud.log"]
