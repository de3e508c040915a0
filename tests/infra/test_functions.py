"""Every function gets exactly the environment that its settings describe, and a bundle that runs alone."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

from infra import shipped
from infra.packaging import ROOT, build_bundle, host_architecture
from tests.infra.conftest import Assembly
from tests.infra.definitions import resolved

MODULES = sorted(name for names in shipped.FUNCTIONS.values() for name in names)
# 250 MB is where Lambda stops; what is missing to it is room for a dependency's next version.
MOST_MB = 200


def function_of(assembly: Assembly, module: str) -> list[tuple[str, dict[str, Any]]]:
    return [
        (part, function["Properties"])
        for part, _, function in assembly.resources("AWS::Lambda::Function")
        if function["Properties"]["Handler"] == f"functions.{module}.handler"
    ]


@pytest.mark.parametrize("module", MODULES)
def test_the_environment_of_a_function_is_its_settings(earning_assembly: Assembly, module: str):
    settings = importlib.import_module(f"functions.{module}").Settings
    deployed = function_of(earning_assembly, module)
    assert deployed
    for part, function in deployed:
        template = earning_assembly.templates[part]
        environment = resolved(function["Environment"]["Variables"], template, earning_assembly.templates)
        ours = {name: value for name, value in environment.items() if not name.startswith("POWERTOOLS_")}
        assert {name.upper() for name in settings.model_fields} == ours.keys()
        assert settings.from_environment(ours).to_environment() == ours


def test_every_function_module_is_deployed_and_nothing_else(earning_assembly: Assembly):
    functions = earning_assembly.resources("AWS::Lambda::Function")
    handlers = [function["Properties"]["Handler"] for _, _, function in functions]
    assert {f"functions.{module}.handler" for module in MODULES} == set(handlers)
    # The teardown works for three stacks: what they hold goes at different times.
    assert handlers.count("functions.tear_down.handler") == 3
    assert len(MODULES) + 2 == len(handlers)


def test_a_loop_without_a_business_trigger_lacks_check_business_with_all_that_is_its_own_and_nothing_else(
    assembly: Assembly, earning_assembly: Assembly
):
    def kinds(of: Assembly) -> dict[tuple[str, str], str]:
        # A version is named after what it freezes, the loop's file included.
        found = ((part, name, resource["Type"]) for part, name, resource in of.resources())
        return {(part, name): kind for part, name, kind in found if kind != "AWS::Lambda::Version"}

    without, having = kinds(assembly), kinds(earning_assembly)
    own = {
        *("AWS::Lambda::Function", "AWS::IAM::Role", "AWS::IAM::Policy", "AWS::Logs::LogGroup"),
        "AWS::Lambda::Permission",
    }

    lacking = {(part, name): kind for (part, name), kind in having.items() if (part, name) not in without}

    assert without.keys() < having.keys()
    assert {("Data", kind) for kind in own} == {(part, kind) for (part, _), kind in lacking.items()}
    assert len(own) == len(lacking)
    assert all("CheckBusiness" in name for _, name in lacking)
    assert "business" not in json.dumps(assembly.templates["Data"]).lower()
    assert "business" not in json.dumps(assembly.templates["Observability"]).lower()


def test_an_accepted_batch_goes_to_the_checks_that_the_loop_has(assembly: Assembly, earning_assembly: Assembly):
    def told(of: Assembly) -> list[str]:
        _, rule = of.one("Data", "AWS::Events::Rule", "BatchWasAccepted")
        return [target["Id"] for target in rule["Properties"]["Targets"]]

    assert told(assembly) == ["CheckDrift"]
    assert told(earning_assembly) == ["CheckDrift", "CheckBusiness"]


def test_the_dashboard_shows_the_value_per_record_where_it_is_checked(earning_assembly: Assembly):
    assert "BusinessValue" in json.dumps(earning_assembly.templates["Observability"])


def test_functions_run_python_3_12_on_arm_traced_with_a_log_of_their_own(assembly: Assembly):
    for _, name, function in assembly.resources("AWS::Lambda::Function"):
        properties = function["Properties"]
        assert properties["Runtime"] == "python3.12", name
        assert properties["Architectures"] == ["arm64"], name
        assert properties["TracingConfig"]["Mode"] == "Active", name
        assert "LogGroup" in properties["LoggingConfig"], name
        assert "KmsKeyArn" in properties, name


def test_a_function_that_validates_the_largest_file_has_the_disk_for_it(assembly: Assembly):
    ((_, validate),) = function_of(assembly, "validate_batch")
    largest = int(resolved(validate["Environment"]["Variables"]["MAX_OBJECT_BYTES"], assembly.templates["Data"]))
    assert largest <= validate["EphemeralStorage"]["Size"] * 1024**2


def tell(capsys: pytest.CaptureFixture[str], measured: str) -> None:
    """Show a figure to whoever runs the tests: what Lambda's cold start is made of."""
    with capsys.disabled():
        sys.stdout.write(f"\n  {measured}")


@pytest.fixture(scope="module", params=["control", "data"])
def unpacked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp(request.param)
    with zipfile.ZipFile(build_bundle(request.param, host_architecture())) as archive:
        archive.extractall(folder)
    return request.param, folder


@pytest.mark.bundle
def test_a_bundle_unpacked_alone_imports_every_handler_in_a_clean_interpreter(unpacked: tuple[str, Path], capsys):
    group, folder = unpacked
    for module in shipped.FUNCTIONS[group]:
        program = (
            f"import sys; sys.path[:0] = [{str(folder)!r}]\n"
            f"import functions.{module} as module\n"
            "assert callable(module.handler)\n"
            # What is imported at its first use only.
            "import aws_lambda_powertools.utilities.batch, aws_lambda_powertools.utilities.idempotency\n"
            "files = [getattr(m, '__file__', None) or '' for m in list(sys.modules.values())]\n"
            "assert not [file for file in files if 'site-packages' in file]\n"
        )
        started = time.perf_counter()
        done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - started
        assert done.returncode == 0, f"{module}: {done.stderr[-1500:]}"
        tell(capsys, f"cold import of {group}/{module}: {seconds:.2f} s")


@pytest.mark.bundle
def test_a_bundle_is_small_enough_for_lambda(unpacked: tuple[str, Path], capsys):
    group, folder = unpacked
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
    tell(capsys, f"{group} bundle unpacked: {size:.0f} MB")
    assert size < MOST_MB


@pytest.mark.bundle
def test_a_bundle_holds_the_group_s_functions_and_no_tool_of_a_person(unpacked: tuple[str, Path]):
    group, folder = unpacked
    functions = {path.stem for path in (folder / "functions").glob("*.py")}
    assert {"__init__", "_shell", *shipped.FUNCTIONS[group]} == functions
    for name in ("cli", "report") if group == "control" else ("cli",):
        assert not (folder / "perennial" / name).exists()
    for name in ("tests", "localcloud", "infra", "loops", "training", "sklearn", "pandas", "scipy"):
        assert not (folder / name).exists()


def test_bundles_hold_every_service_that_there_is_a_client_for():
    source = (ROOT / "perennial" / "aws" / "clients.py").read_text()
    called = set(re.findall(r'self\.client\("([a-z0-9-]+)"', source))
    assert called
    assert called <= shipped.BOTOCORE_SERVICES


@pytest.mark.bundle
def test_the_services_that_botocore_knows_in_a_bundle_are_those_that_we_call(unpacked: tuple[str, Path]):
    _, folder = unpacked
    present = {path.name for path in (folder / "botocore" / "data").iterdir() if path.is_dir()}
    assert present == shipped.BOTOCORE_SERVICES


def test_bundles_in_the_assembly_are_for_arm(assembly: Assembly):
    archives = list(assembly.folder.glob("asset.*.zip"))
    assert len(archives) == 2
    for archive in archives:
        with zipfile.ZipFile(archive) as file:
            libraries = [name for name in file.namelist() if ".cpython-312-" in name and name.endswith(".so")]
        assert libraries
        assert all("aarch64" in name for name in libraries)


def test_loop_json_in_the_assembly_is_the_loop(assembly: Assembly):
    from infra.packaging import ROOT
    from perennial.project import Loop, load_loop

    (file,) = assembly.folder.glob("asset.*.json")
    assert load_loop(ROOT / "loops" / "bikeshare") == Loop.from_json(file.read_text())
    assert json.loads(file.read_text())["name"] == "bikeshare"
