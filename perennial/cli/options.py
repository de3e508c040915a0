"""Options that commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from perennial.stage import parse_stage

__all__ = ["StageOption"]

StageOption = Annotated[
    str,
    typer.Option(
        "--stage",
        envvar="PERENNIAL_STAGE",
        callback=parse_stage,
        help="Which deployment of the loop: what `cdk deploy -c stage=` was given. PERENNIAL_STAGE sets it for all "
        "commands.",
    ),
]
