"""What holds for the templates as such: linted, tables up to date, outputs that the command line finds."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import yaml

from infra.packaging import ROOT
from infra.settings import IMAGE_ACCOUNTS, IMAGE_TAG
from perennial.regions import SUPPORTED_REGIONS, WITHOUT_BUDGETS
from tests.infra.conftest import LOOP, Assembly

OUTPUTS = {
    "Data": {"LandingBucket", "LakeBucket", "AuditBucket", "CatalogTable", "BusName", "TopicArn"},
    "Serving": {
        *("RolloutMachineArn", "EndpointName", "RollBackFunction"),
        *("RollBackBlueAlarmName", "RollBackGreenAlarmName"),
    },
    "Learning": {"LearningMachineArn", "ModelPackageGroupName", "DecideRetrainingFunction"},
    "Observability": {"DashboardName"},
}


def test_cfn_lint_finds_nothing(assembly: Assembly, earning_assembly: Assembly):
    templates = [
        *map(str, sorted(assembly.folder.glob("*.template.json"))),
        str(earning_assembly.folder / f"Perennial-{LOOP}--dev-Data.template.json"),
    ]
    linter = Path(sys.executable).parent / "cfn-lint"
    command = [str(linter), "--config-file", str(ROOT / ".cfnlintrc.yaml"), "--", *templates]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("part", OUTPUTS)
def test_the_command_line_finds_what_it_needs_among_the_outputs(assembly: Assembly, part: str):
    assert OUTPUTS[part] <= assembly.templates[part]["Outputs"].keys()


def test_no_template_depends_on_where_or_by_whom_it_is_deployed(assembly: Assembly):
    for part, template in assembly.templates.items():
        assert "123456789012" not in str(template), part
        assert template["Parameters"].keys() <= {"BootstrapVersion"}, part


def test_the_image_table_is_what_the_sagemaker_sdk_says():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sagemaker.core import image_uris

        for region, account in IMAGE_ACCOUNTS.items():
            uri = image_uris.retrieve("sklearn", region, version="1.9-0", py_version="py3")
            assert uri.split(".")[0] == account, region
            assert uri.endswith(f"/sagemaker-scikit-learn:{IMAGE_TAG}"), region


def test_the_templates_are_checked_for_every_region_that_is_supported():
    """cfn-lint takes them from its configuration: each resource type exists in each of them, or is conditional."""
    config = yaml.safe_load((ROOT / ".cfnlintrc.yaml").read_text())
    assert tuple(config["regions"]) == SUPPORTED_REGIONS
    assert tuple(sorted(IMAGE_ACCOUNTS)) == tuple(sorted(SUPPORTED_REGIONS))


def test_the_budget_is_made_where_its_type_exists_and_an_output_says_so_elsewhere(assembly: Assembly):
    template = assembly.templates["Observability"]
    (budget,) = [one for one in template["Resources"].values() if one["Type"] == "AWS::Budgets::Budget"]
    assert budget["Condition"] == "HasBudgets"
    without = [one["Fn::Equals"][1] for one in template["Conditions"]["HasBudgets"]["Fn::Not"][0]["Fn::Or"]]
    assert tuple(without) == WITHOUT_BUDGETS
    assert "none: " in str(template["Outputs"]["MonthlyBudget"]["Value"])


@pytest.mark.parametrize("variable", ["CDK_DEFAULT_REGION", "AWS_REGION"])
def test_an_unsupported_region_is_refused_at_synthesis(monkeypatch: pytest.MonkeyPatch, variable: str):
    from infra.stacks import make_app
    from perennial.errors import RegionUnsupported

    monkeypatch.delenv("CDK_DEFAULT_REGION", raising=False)
    monkeypatch.setenv(variable, "us-gov-west-1")
    with pytest.raises(RegionUnsupported, match="eu-west-1"):
        make_app(loops=[])


@pytest.mark.parametrize(
    ("context", "said"),
    [
        ({"image_digest": "sha256:12"}, "64 hex digits"),
        ({"log_retention_days": "soon"}, "whole number"),
        ({"audit_retention_days": "0"}, "1 to 36500"),
        ({"job_instance_type": "ml.m6g.large"}, "isn't x86"),
        ({"max_object_bytes": "-1"}, "whole number"),
        ({"architecture": "sparc"}, "arm64 or x86_64"),
        ({"keep_data": "perhaps"}, "true or false"),
    ],
)
def test_a_context_that_cannot_be_used_is_refused_in_a_sentence(context: dict[str, str], said: str):
    from infra.stacks import make_app
    from perennial.errors import ContextInvalid

    with pytest.raises(ContextInvalid, match=said):
        make_app(context=context, loops=[])


def test_a_job_on_an_instance_with_storage_of_its_own_names_no_key_for_it():
    """CreateTrainingJob: "You can't request a VolumeKmsKeyId when using an instance type with local storage"."""
    from infra.sagemaker_step import volume_key

    assert volume_key("ml.m5.large", "key") == {"VolumeKmsKeyId": "key"}
    assert volume_key("ml.g5.xlarge", "key") == {}


def test_a_regulated_team_can_reserve_the_roll_back_and_back_the_catalog_up(tmp_path: Path):
    from infra.stacks import make_app

    context = {"loop": LOOP, "reserve_rollback": "true", "backup": "true"}
    make_app(outdir=str(tmp_path), context=context).synth()
    serving, data = (
        json.loads((tmp_path / f"Perennial-{LOOP}--dev-{part}.template.json").read_text())["Resources"]
        for part in ("Serving", "Data")
    )
    reserved = {
        name[:8]: one["Properties"]["ReservedConcurrentExecutions"]
        for name, one in serving.items()
        if "ReservedConcurrentExecutions" in one.get("Properties", {})
    }
    assert reserved == {"RollBack": 2}
    (selection,) = [one for one in data.values() if one["Type"] == "AWS::Backup::BackupSelection"]
    assert "Catalog" in str(selection["Properties"]["BackupSelection"]["Resources"])
    (vault,) = [one for one in data.values() if one["Type"] == "AWS::Backup::BackupVault"]
    assert "EncryptionKeyArn" in vault["Properties"]


def test_a_bucket_policy_never_asks_for_what_a_plain_copy_does_not_send(assembly: Assembly):
    """`aws s3 cp` sends no If-None-Match: overwrites of a key become versions instead, each with its own identity."""
    for _, name, policy in assembly.resources("AWS::S3::BucketPolicy"):
        assert "s3:if-none-match" not in str(policy), name


def test_an_unknown_loop_says_which_exist():
    from infra.stacks import make_app
    from perennial.errors import LoopUnknown

    with pytest.raises(LoopUnknown, match="bikeshare"):
        make_app(context={"loop": "nonesuch"})
