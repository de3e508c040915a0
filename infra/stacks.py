"""All stacks of all loops that the app was asked for."""

from __future__ import annotations

import os
import typing
from collections.abc import Sequence

import aws_cdk as cdk
from cdk_nag import AwsSolutionsChecks, NIST80053R5Checks, ServerlessChecks
from constructs import Node

from infra.data_stack import DataStack
from infra.learning_stack import LearningStack
from infra.observability_stack import ObservabilityStack
from infra.packaging import ROOT, Architecture
from infra.reviewed import acknowledge_reviewed
from infra.serving_stack import ServingStack
from infra.settings import FEATURE_FLAGS, Deployment
from perennial import keys
from perennial.errors import ContextInvalid, LoopUnknown
from perennial.project import Loop, find_loops, load_loop
from perennial.regions import require_region

__all__ = ["LoopStacks", "make_app"]


class LoopStacks:
    """The four stacks of one loop in one stage; each gets the earlier ones as objects, hence their order."""

    def __init__(self, app: cdk.App, *, loop: Loop, deployment: Deployment, architecture: Architecture) -> None:
        def name(part: str) -> str:
            return keys.stack_name(loop.name, deployment.stage, part)

        self.data = DataStack(app, name("Data"), loop=loop, deployment=deployment, architecture=architecture)
        self.serving = ServingStack(app, name("Serving"), data=self.data)
        self.learning = LearningStack(app, name("Learning"), data=self.data, serving=self.serving)
        self.observability = ObservabilityStack(
            app, name("Observability"), data=self.data, learning=self.learning, serving=self.serving
        )
        for stack in (self.data, self.serving, self.learning, self.observability):
            for key, value in deployment.tags(loop).items():
                cdk.Tags.of(stack).add(key, value)


def make_app(
    *, outdir: str | None = None, context: dict[str, str] | None = None, loops: Sequence[Loop] | None = None
) -> cdk.App:
    """
    The app with the stacks of every loop in loops/, or of the one that `-c loop=NAME` names.

    Other context: stage (part of every name, `dev` without one), environment, cost_centre, keep_data,
    log_retention_days, audit_retention_days, alarm_email, image_digest, max_object_bytes, max_job_bytes,
    job_instance_type (of files too large for a function), architecture (of the functions: arm64 or x86_64),
    reserve_rollback and backup (true or false; see `Deployment`).

    Parameters
    ----------
    loops
        Instead of those; each has its model.py in loops/ under its name.

    Raises
    ------
    LoopUnknown, LoopInvalid
        There is no such loop, or its folder is wrong; every mistake is named.
    StageInvalid, ContextInvalid
        No resource can bear that stage's name, or another context value can't be used; says what can.
    RegionUnsupported
        The region that the CDK was told of (by its profile, or AWS_REGION) lacks something that a loop needs.
    """
    if region := os.environ.get("CDK_DEFAULT_REGION") or os.environ.get("AWS_REGION"):
        require_region(region)
    app = cdk.App(outdir=outdir, context={**FEATURE_FLAGS, **(context or {})}, analytics_reporting=False)
    try:
        deployment = Deployment.from_context(app.node)
        architecture = _architecture(app.node)
    except ValueError as error:
        raise ContextInvalid(str(error)) from error
    for loop in _asked_for(app.node) if loops is None else loops:
        LoopStacks(app, loop=loop, deployment=deployment, architecture=architecture)
    acknowledge_reviewed(app)
    cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(), NIST80053R5Checks(), ServerlessChecks())
    return app


def _asked_for(node: Node) -> list[Loop]:
    known = find_loops(ROOT / "loops")
    wanted = node.try_get_context("loop")
    if wanted is not None and wanted not in known:
        raise LoopUnknown(f"loop must be one of {', '.join(known) or 'none: loops/ is empty'}. Got {wanted!r} instead.")
    return [load_loop(ROOT / "loops" / name) for name in ([str(wanted)] if wanted else known)]


def _architecture(node: Node) -> Architecture:
    asked = str(node.try_get_context("architecture") or "arm64")
    if asked not in typing.get_args(Architecture):
        raise ValueError(f"context architecture must be arm64 or x86_64. Got {asked!r} instead.")
    return asked  # type: ignore[return-value]
