"""Puts SageMaker together."""

from __future__ import annotations

from localcloud.context import Context
from localcloud.sagemaker.api import Api, Parts
from localcloud.sagemaker.capture import Capture
from localcloud.sagemaker.endpoints import Endpoints
from localcloud.sagemaker.faults import Faults
from localcloud.sagemaker.invocation import Runtime
from localcloud.sagemaker.logs import INTERVAL_SECONDS, LogShipper
from localcloud.sagemaker.models import Models
from localcloud.sagemaker.permissions import Permissions
from localcloud.sagemaker.processing import ProcessingJobs
from localcloud.sagemaker.registry import Registry
from localcloud.sagemaker.resources import group_type
from localcloud.sagemaker.state import State
from localcloud.sagemaker.training import TrainingJobs

WATCH_SECONDS = 0.2
FLUSH_CHECK_SECONDS = 0.25


def install(context: Context) -> None:
    """Serve SageMaker; after a restart its endpoints serve again."""
    state, shipper, capture = State(context), LogShipper(context), Capture(context)
    faults = Faults(context.state_dir)
    registry, endpoints = Registry(context, state), Endpoints(context, state, shipper, faults)
    parts = Parts(
        state=state,
        registry=registry,
        models=Models(context, state, registry),
        training=TrainingJobs(context, state, shipper, faults),
        processing=ProcessingJobs(context, state, shipper, faults),
        endpoints=endpoints,
        runtime=Runtime(context, endpoints, capture, faults),
        permissions=Permissions(context, state),
        faults=faults,
    )
    api = Api(parts)
    context.register_service(
        "sagemaker",
        api,
        target_prefixes=["SageMaker."],
        credential_scope="sagemaker",
        iam_namespace="sagemaker",
        paths=[r"^/endpoints/[^/]+/invocations$"],
        authorize=parts.permissions.needed,
    )
    context.register_resource("AWS::SageMaker::ModelPackageGroup", group_type(api))
    context.on_save("sagemaker", state.dump)
    context.on_load("sagemaker", state.load)
    context.on_start(lambda: _resume(parts))
    context.on_stop(lambda: capture.flush(everything=True))
    context.every(INTERVAL_SECONDS, shipper.ship_all, name="sagemaker-logs")
    context.every(WATCH_SECONDS, endpoints.watch, name="sagemaker-variants")
    context.every(FLUSH_CHECK_SECONDS, capture.flush, name="sagemaker-capture")


def _resume(parts: Parts) -> None:
    parts.training.fail_interrupted()
    parts.processing.fail_interrupted()
    parts.endpoints.resume()
