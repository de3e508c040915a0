"""Starting, stopping, and what a stop leaves behind."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from localcloud.children import Children
from localcloud.extension import MissingExtensionPoint, require
from localcloud.scales import Scales
from localcloud.server import Server, ServerFailed
from tests.fidelity.cloud import Cloud, single
from tests.waiting import until


def test_a_port_in_use_is_said_with_exit_code_2(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        argv = [sys.executable, "-m", "localcloud", "serve", "--port", str(port), "--state-dir", str(tmp_path)]
        ended = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"localcloud: port {port} is in use")


def test_two_servers_never_share_a_state_directory(cloud: Cloud) -> None:
    with pytest.raises(ServerFailed, match="in use by another local cloud"):
        Server(state_dir=cloud.server.state_dir).start()


def test_it_listens_on_the_loopback_address_only(cloud: Cloud) -> None:
    port = int(cloud.server.endpoint_url.rpartition(":")[2])
    others = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)} - {"127.0.0.1"}
    outside = {address for address in others if not str(address).startswith("127.")}
    for address in outside:
        with socket.socket() as probe:
            probe.settimeout(1)
            assert probe.connect_ex((str(address), port)) != 0
    listening = Path("/proc/net/tcp")
    if listening.exists():
        addresses = [line.split()[1] for line in listening.read_text().splitlines()[1:] if line.split()[3] == "0A"]
        assert [address for address in addresses if address.endswith(f":{port:04X}")] == [f"0100007F:{port:04X}"]


def test_its_health_tells_the_scales(cloud: Cloud) -> None:
    with urllib.request.urlopen(f"{cloud.server.endpoint_url}/_localcloud/health") as answer:
        found = json.load(answer)
    assert found["status"] == "ok"
    assert found["scales"] == {"waits": 60.0, "alarms": 60.0, "schedules": 1800.0}


def test_state_survives_a_stop_and_running_executions_go_on(tmp_path: Path) -> None:
    """A Wait of AWS outlives anything; ministack fails what ran when it stopped (1.5.33, seen 2026-11)."""
    definition = {
        "StartAt": "Note",
        "States": {
            "Note": {"Type": "Pass", "Result": {"noted": True}, "Next": "Wait"},
            "Wait": {"Type": "Wait", "Seconds": 4, "End": True},
        },
    }
    with Server(state_dir=tmp_path) as server:
        first = Cloud(server)
        first.client("s3").create_bucket(Bucket="kept")
        first.client("s3").put_object(Bucket="kept", Key="a", Body=b"x" * 1000)
        role = first.role(service="states")
        execution = first.start(first.machine(definition, role=role))
        until(lambda: first.client("stepfunctions").get_execution_history(executionArn=execution)["events"][2:])
    with Server(state_dir=tmp_path) as server:
        second = Cloud(server)
        assert len(second.client("s3").get_object(Bucket="kept", Key="a")["Body"].read()) == 1000
        finished = second.finish(execution)
        assert (finished.status, finished.output) == ("SUCCEEDED", {"noted": True})
        assert finished.types.count("PassStateEntered") == 1


def test_children_end_with_the_server_that_is_killed(tmp_path: Path) -> None:
    program = (
        "import logging, sys, time\n"
        "from localcloud.children import Children\n"
        "child = Children(logging.getLogger()).spawn([sys.executable, '-c', 'import time; time.sleep(86400)'])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(86400)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    if sys.platform == "linux":
        until(lambda: not _runs(child))


def test_a_stopped_child_takes_its_own_children_along(tmp_path: Path) -> None:
    import logging

    children = Children(logging.getLogger())
    note = tmp_path / "pid"
    script = f"sleep 86400 & echo $! > {note}; wait"
    process = children.spawn(["sh", "-c", script])
    grandchild = int(until(lambda: note.exists() and note.read_text().strip()))
    children.stop(process)
    until(lambda: not _runs(grandchild))


def test_a_missing_extension_point_names_the_version_of_the_fabric() -> None:
    import ministack

    with pytest.raises(MissingExtensionPoint, match=r"ministack must have _gone.*1\.5\.33"):
        require(ministack, "_gone")


def test_a_scale_must_be_above_zero() -> None:
    with pytest.raises(ValueError, match=r"waits must be above 0\. Got 0 instead"):
        Scales(waits=0)


def test_a_wait_takes_a_sixtieth_of_its_time(cloud: Cloud) -> None:
    started = time.monotonic()
    assert cloud.run(single({"Type": "Wait", "Seconds": 60, "End": True})).status == "SUCCEEDED"
    assert time.monotonic() - started > 1.0


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"
