"""`python -m localcloud serve`: the local cloud in the foreground."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from localcloud import identity
from localcloud.extension import MissingExtensionPoint
from localcloud.runtime import SAVE_SECONDS, PortInUse, StateInUse, serve
from localcloud.scales import Scales


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 after a stop, 2 when it can't start."""
    options = _parser().parse_args(arguments)
    if options.with_starter:
        threading.Thread(target=_stop_with_starter, name="starter", daemon=True).start()
    try:
        scales = Scales(waits=options.waits, alarms=options.alarms, schedules=options.schedules)
        serve(
            port=options.port,
            state_dir=options.state_dir.resolve(),
            scales=scales,
            announce=_announce,
            save_seconds=options.save_seconds or None,
            record=options.record,
        )
    except PortInUse as error:
        return _refuse(f"{error}: stop what listens there, or choose another with --port")
    except (StateInUse, MissingExtensionPoint, ValueError) as error:
        return _refuse(str(error))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="localcloud", description="An embedded AWS for a laptop.")
    command = parser.add_subparsers(required=True).add_parser("serve", help="run it until Ctrl-C")
    command.add_argument("--port", type=int, default=4566, help="0 takes a free one (default 4566)")
    command.add_argument("--state-dir", type=Path, default=Path(".localcloud"), help="what outlives a stop")
    command.add_argument("--with-starter", action="store_true", help="stop when standard input closes")
    command.add_argument(
        "--save-seconds",
        type=float,
        default=SAVE_SECONDS,
        metavar="N",
        help=f"save every N seconds while it is busy; 0 saves at a stop only (default {SAVE_SECONDS:g})",
    )
    command.add_argument(
        "--record",
        type=Path,
        metavar="FILE",
        default=os.environ.get("LOCALCLOUD_RECORD"),
        help="append what roles ask for, as lines of JSON (default: what LOCALCLOUD_RECORD names, else nowhere)",
    )
    for name, what in (
        ("waits", "Step Functions waits, retries and polls"),
        ("alarms", "CloudWatch alarm periods"),
        ("schedules", "EventBridge rates and crons"),
    ):
        command.add_argument(f"--{name}", type=float, default=1.0, metavar="N", help=f"divide {what} by N")
    return parser


def _stop_with_starter() -> None:
    """Whoever started us holds the other end of standard input: it closes when they end, even when they are killed."""
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _announce(endpoint_url: str) -> None:
    exports = [f"export {name}={value}" for name, value in identity.environment(endpoint_url).items()]
    sys.stdout.write("\n".join([f"localcloud: {endpoint_url}", *exports, ""]))
    sys.stdout.flush()


def _refuse(message: str) -> int:
    sys.stderr.write(f"localcloud: {message}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
