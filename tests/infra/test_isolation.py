"""Jobs that run a loop's own code have no network unless it asks for one, and roles that reach no served model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from functions.freeze_dataset import SOURCE
from infra.packaging import ROOT
from perennial.project import parse_loop
from tests.infra.conftest import LOOP, Assembly, synthesized
from tests.infra.definitions import definitions


def test_training_has_no_network_and_its_source_in_the_channel_that_the_hyperparameters_name(assembly: Assembly):
    train = _state(assembly, "Train")
    assert train["EnableNetworkIsolation"] is True
    channels = {channel["ChannelName"]: channel for channel in train["InputDataConfig"]}
    assert set(channels) == {"code", "dataset", "version"}
    assert f"/opt/ml/input/data/code/{SOURCE.rpartition('/')[2]}" == SOURCE
    bundle = channels["code"]["DataSource"]["S3DataSource"]
    assert bundle["S3DataType"] == "S3Prefix"
    assert bundle["S3Uri"].endswith("/")


def test_a_loop_may_ask_for_a_network(tmp_path: Path):
    toml = (ROOT / "loops" / LOOP / "loop.toml").read_text()
    assert "[training]" in toml
    networked = parse_loop(toml.replace("[training]", "[training]\nnetwork = true"), folder_name=LOOP)
    assert _state(synthesized(tmp_path / "out", loops=[networked]), "Train")["EnableNetworkIsolation"] is False


def test_training_and_evaluation_run_under_roles_of_their_own_that_write_no_model_that_serves(assembly: Assembly):
    writing = {"TrainingRole": ["models/*"], "EvaluationRole": ["reports/evaluations/*"], "ModelRole": ["capture/*"]}
    for role, prefixes in writing.items():
        assert prefixes == sorted(_under(assembly, role, "s3:PutObject")), role
    assert _under(assembly, "ModelRole", "s3:GetObject") == {"approved/*"}
    assert "approved/*" not in _under(assembly, "TrainingRole", "s3:GetObject")
    assert _state(assembly, "Train")["RoleArn"] != _state(assembly, "Evaluate")["RoleArn"]


def test_one_function_alone_writes_what_serves(assembly: Assembly):
    writers = {
        str(role["Ref"]).partition("Role")[0]
        for _, _, policy in assembly.resources("AWS::IAM::Policy")
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if "s3:PutObject" in statement["Action"] and "/approved/" in json.dumps(statement["Resource"])
        for role in policy["Properties"]["Roles"]
    }
    assert writers == {"RegisterModel"}


def _state(assembly: Assembly, name: str) -> dict[str, Any]:
    (found,) = [
        definition["States"][name]["Parameters"]
        for definition in definitions(assembly.templates["Learning"], assembly.templates).values()
        if name in definition["States"]
    ]
    return dict(found)


def _under(assembly: Assembly, role: str, action: str) -> set[str]:
    """Prefixes of the lake under which a role may do that."""
    found = set()
    for _, _, policy in assembly.resources("AWS::IAM::Policy"):
        if any(str(one.get("Ref", "")).startswith(role) for one in policy["Properties"]["Roles"]):
            for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
                if action in statement["Action"]:
                    resources = statement["Resource"]
                    listed = resources if isinstance(resources, list) else [resources]
                    found |= {
                        parts[-1].removeprefix("/")
                        for one in listed
                        if isinstance(one, dict)
                        and isinstance(parts := one["Fn::Join"][1], list)
                        and "Lake" in json.dumps(parts)
                    }
    return found
