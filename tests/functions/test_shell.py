"""What all functions share: settings, entry point, partial batches, and imports that do nothing."""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

import functions
from functions import _shell, append_ledger, check_freshness, roll_back
from functions._shell import Settings
from infra import shipped
from tests.functions.world import World, messages

MODULES = sorted(one.name for one in pkgutil.iter_modules(functions.__path__) if not one.name.startswith("_"))
DATA = set(shipped.FUNCTIONS["data"])


@pytest.mark.parametrize("name", MODULES)
def test_settings_survive_the_environment(name: str) -> None:
    module = importlib.import_module(f"functions.{name}")
    examples: dict[str, Any] = {"alarm_names": {"blue": ("a",)}, "tags": {"k": "v"}, "bucket_names": ("one", "two")}
    given = {
        field: examples.get(field, f"the {field}")
        for field, described in module.Settings.model_fields.items()
        if described.is_required() or field in examples
    }
    settings = module.Settings(**given)

    environment = settings.to_environment()

    assert settings == module.Settings.from_environment(environment | {"PATH": "/bin"})
    assert all(isinstance(value, str) and key == key.upper() for key, value in environment.items())


@pytest.mark.parametrize("name", MODULES)
def test_every_module_says_its_trigger_and_the_actions_it_needs(name: str) -> None:
    module = importlib.import_module(f"functions.{name}")

    assert "Trigger:" in (module.__doc__ or "")
    assert "AWS actions" in (module.__doc__ or "")
    assert module.handler.__doc__ == (module.run.__doc__ or "").strip()


def test_modules_import_with_nothing_in_the_environment_and_control_functions_without_arrays() -> None:
    heavy = "('numpy', 'pyarrow', 'pandas', 'scipy', 'sklearn')"
    script = "import importlib, sys\n"
    control = [name for name in MODULES if name not in DATA]
    script += "".join(f"importlib.import_module('functions.{name}')\n" for name in control)
    script += "import perennial.project\n"
    script += f"print([name for name in {heavy} if name in sys.modules])\n"
    script += "".join(f"importlib.import_module('functions.{name}')\n" for name in DATA)
    script += "print([name for name in ('pandas', 'scipy', 'sklearn') if name in sys.modules])\n"

    done = subprocess.run([sys.executable, "-c", script], env={}, capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["[]", "[]"]


def test_a_missing_variable_is_named() -> None:
    with pytest.raises(ValueError, match="lake_bucket"):
        Settings.from_environment({"LOOP_URI": "s3://a/b", "LOOP_NAME": "x", "CATALOG_TABLE": "t", "BUS_NAME": "b"})


@pytest.fixture
def environment(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """The environment of a deployed function."""
    for name, value in world.shell(check_freshness).settings.to_environment().items():
        monkeypatch.setenv(name, value)
    return world


def test_the_handler_reads_the_environment_and_answers(environment: World) -> None:
    handler = _shell.lambda_handler(check_freshness.Settings, check_freshness.run)

    answer = handler({}, SimpleNamespace(aws_request_id="r"))

    assert answer["reasons"] == ["freshness: no batch has come yet"]
    assert "LOOP_URI" in os.environ


def test_the_handler_lets_errors_through_by_their_class_and_flushes_metrics(
    environment: World, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    secret = "@".join(("secret", "example.org"))

    def run(event: Any, shell: Any) -> None:
        shell.metrics.add("Tried", 1)
        raise ValueError(f"a row: {secret}")

    run.__module__ = "functions.of_a_test"
    handler = _shell.lambda_handler(check_freshness.Settings, run)

    with pytest.raises(Exception, match="may quote data") as raised:
        handler({}, SimpleNamespace(aws_request_id="r"))

    assert type(raised.value).__name__ == "ValueError"
    output = capsys.readouterr().out + caplog.text
    assert '"Tried":[1.0]' in output
    assert "ValueError" in output
    assert secret not in output


def test_only_the_messages_that_fail_come_again(world: World) -> None:
    def process(body: str) -> None:
        if json.loads(body)["n"] % 3 == 0:
            raise RuntimeError("try again")

    shell = world.shell(append_ledger)

    answer = _shell.each_message(messages(*({"n": number} for number in range(7))), shell, process)

    assert [failure["itemIdentifier"] for failure in answer["batchItemFailures"]] == ["m0", "m3", "m6"]


def test_even_when_all_fail_each_is_named(world: World) -> None:
    def process(body: str) -> None:
        raise RuntimeError("try again")

    answer = _shell.each_message(messages({}, {}), world.shell(append_ledger), process)

    assert len(answer["batchItemFailures"]) == 2


class Hourglass:
    """Lambda's context of a call with so many seconds, of which each message takes some."""

    def __init__(self, seconds: float) -> None:
        self.left = seconds

    def get_remaining_time_in_millis(self) -> int:
        return int(self.left * 1000)


@pytest.mark.parametrize(("seconds", "opened"), [(300, 7), (100, 4), (25, 1), (1, 1)])
def test_what_does_not_fit_into_the_time_left_goes_back_unopened(world: World, seconds: float, opened: int) -> None:
    """With 20 seconds a message, 100 suffice for four: the fifth would have no room to take longer than the others."""
    shell, done = world.shell(append_ledger), []
    shell.invocation.context = hourglass = Hourglass(seconds)

    def process(body: str) -> None:
        done.append(json.loads(body)["n"])
        hourglass.left -= 20

    answer = _shell.each_message(messages(*({"n": number} for number in range(7))), shell, process)

    again = [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]
    assert done == list(range(opened))
    assert again == [f"m{number}" for number in range(opened, 7)]


def test_the_loop_is_read_once(world: World) -> None:
    shell, read = world.shell(roll_back), []
    world.clients.s3.meta.events.register("before-call.s3.GetObject", lambda **_: read.append(1))

    assert shell.loop is shell.loop
    assert read == [1]
