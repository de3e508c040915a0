"""The CDK CLI is run to its end, whoever breaks its caller off."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from perennial.cli import cdk
from perennial.errors import EnvironmentLacking


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> cdk.Cdk:
    """A CDK CLI that is a program of the test's own, in `cli.py`."""
    home = tmp_path / "home" / "bin"
    home.mkdir(parents=True)
    (home / "node").symlink_to(sys.executable)
    monkeypatch.setattr(cdk, "node_home", lambda: home.parent)
    monkeypatch.setattr(cdk, "install_cdk", lambda root: None)
    monkeypatch.setattr(cdk, "CLI", "cli.py")
    return cdk.Cdk(tmp_path, "demo", "dev", dict(os.environ))


def test_what_it_says_is_given_and_kept(command: cdk.Cdk, tmp_path: Path):
    (tmp_path / "cli.py").write_text("import sys; print(sys.argv[1:])")
    expected = "['deploy', '--all', '-c', 'loop=demo', '-c', 'stage=dev']\n"
    assert command.run("deploy", "--all", output=tmp_path / "log") == expected
    assert (tmp_path / "log").read_text() == expected


def test_a_failure_says_how_it_ended(command: cdk.Cdk, tmp_path: Path):
    (tmp_path / "cli.py").write_text("import sys; print('no such stack', file=sys.stderr); sys.exit(3)")
    with pytest.raises(EnvironmentLacking, match=r"`cdk destroy` must succeed\. Got exit code 3:\nno such stack"):
        command.run("destroy")


def test_who_breaks_it_off_waits_for_its_end(command: cdk.Cdk, tmp_path: Path):
    (tmp_path / "cli.py").write_text(
        "import os, pathlib, signal, time\n"
        "os.kill(os.getppid(), signal.SIGINT)\n"
        "time.sleep(0.5)\n"
        f"pathlib.Path({str(tmp_path / 'done')!r}).touch()\n"
    )
    # A shell starts what it puts into the background with SIGINT ignored, and a test run may be that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            command.run("deploy")
    finally:
        signal.signal(signal.SIGINT, before)
    assert (tmp_path / "done").exists()
