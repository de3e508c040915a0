"""What holds for the templates as such: linted, tables up to date, outputs that the command line finds."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from infra.packaging import ROOT
from infra.settings import IMAGE_ACCOUNTS, IMAGE_TAG
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


def test_a_bucket_policy_never_asks_for_what_a_plain_copy_does_not_send(assembly: Assembly):
    """`aws s3 cp` sends no If-None-Match: overwrites of a key become versions instead, each with its own identity."""
    for _, name, policy in assembly.resources("AWS::S3::BucketPolicy"):
        assert "s3:if-none-match" not in str(policy), name


def test_an_unknown_loop_says_which_exist():
    from infra.stacks import make_app
    from perennial.errors import LoopUnknown

    with pytest.raises(LoopUnknown, match="bikeshare"):
        make_app(context={"loop": "nonesuch"})
