"""`perennial up`: the local cloud, kept running, with a loop deployed to it."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

from perennial.cli.console import out
from perennial.cli.local import UP_SCALES, local_cloud
from perennial.cli.project_root import find_root, load_named_loop

__all__ = ["serve"]


def serve(loop: str, *, stage: str, port: int, state_dir: Path) -> None:
    """Start, deploy, print how to use it, and stay until interrupted; the state survives."""
    root = find_root()
    load_named_loop(loop, root)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with local_cloud(root, loop, port=port, state_dir=(root / state_dir), scales=UP_SCALES, stage=stage) as cloud:
        out.print(f"local cloud at {cloud.server.endpoint_url}, state in {os.path.relpath(cloud.server.state_dir)}")
        with out.status(f"synthesizing and deploying loop {loop}, stage {stage}, with the CDK CLI"):
            assembly = cloud.server.state_dir / "cdk.out"
            cloud.synthesize(assembly)
            cloud.deploy(assembly)
        deployment = cloud.deployment()
        out.print("\nIn another terminal:\n")
        for name, value in cloud.server.environment().items():
            out.print(f"  export {name}={value}", markup=False)
        out.print(f"  export PERENNIAL_STAGE={stage}", markup=False)
        out.print(f"  export PATH={os.path.relpath(root / '.venv' / 'bin')}:$PATH\n", markup=False)
        out.print(f"  perennial status {loop} --watch")
        out.print(f"  aws s3 cp week.csv s3://{deployment['LandingBucket']}/batches/", soft_wrap=True)
        out.print(f"  aws sagemaker describe-endpoint --endpoint-name {deployment['EndpointName']}")
        out.print(f"\nwaits run {UP_SCALES.waits:g}x faster than on AWS. Ctrl-C stops it; the state stays.")
        stop.wait()
        out.print("stopping; the state is kept")
