"""Allow-lists: which of our files and which parts of third-party packages are in a bundle, and why not the rest."""

from __future__ import annotations

from typing import Final

__all__ = [
    "BOTOCORE_SERVICES",
    "ENTRY_POINTS",
    "FUNCTIONS",
    "NOT_IN_CONTAINERS",
    "NOT_IN_FUNCTIONS",
    "SUFFIXES",
    "UNUSED",
    "WHEEL_PLATFORMS",
]

# A function is in the group whose packages it needs: rows and profiles need arrays, decisions don't.
FUNCTIONS: Final[dict[str, tuple[str, ...]]] = {
    "control": (
        "analyse_canary",
        "append_ledger",
        "check_freshness",
        "conclude_run",
        "decide_retraining",
        "finish_rollout",
        "judge_candidate",
        "prepare_rollout",
        "reconcile_landings",
        "register_model",
        "request_approval",
        "roll_back",
        "settle_approval",
        "smoke_test",
        "tear_down",
    ),
    "data": (
        "check_business",
        "check_drift",
        "check_performance",
        "freeze_dataset",
        "ingest_capture",
        "join_labels",
        "record_batch",
        "validate_batch",
    ),
}

SUFFIXES: Final = frozenset({".css", ".json", ".py", ".toml", ".typed"})

# Where script mode and the processing job look for them: at the root of the source bundle.
ENTRY_POINTS: Final = ("bootstrap.py", "inference.py", "train.py")
# The command line and history replays are a person's tools.
_NO_FUNCTION_NEEDS: Final = frozenset({"cli", "backtest", "checks"})
NOT_IN_FUNCTIONS: Final = {"control": _NO_FUNCTION_NEEDS | {"report"}, "data": _NO_FUNCTION_NEEDS}
# Training and evaluation reach S3 through SageMaker's channels only. A large batch's job needs perennial.aws: channels
# can't name an object's version; boto3 is in AWS's image, whose training toolkit fetches its source with it.
NOT_IN_CONTAINERS: Final = _NO_FUNCTION_NEEDS | {"report"}

# What perennial.aws has clients for; botocore's other services weigh 20 MB.
BOTOCORE_SERVICES: Final = frozenset(
    {"cloudwatch", "dynamodb", "events", "lambda", "logs", "s3", "sagemaker", "sagemaker-runtime", "sns"}
    | {"sqs", "stepfunctions", "sts", "xray"}
)

# manylinux tags that AWS's image (Amazon Linux 2023: glibc 2.34) accepts, newest first.
WHEEL_PLATFORMS: Final = ("manylinux_2_28", "manylinux_2_17", "manylinux2014")

# Globs inside the folder of installed packages.
UNUSED: Final = (
    "bin",
    "*.dist-info/RECORD",
    "**/tests",
    "**/*.pyi",
    "**/*.pxd",
    "**/*.pyx",
    "**/*.h",
    "**/*.hpp",
    # pyarrow: no Flight, ORC, Substrait, cloud filesystems, CUDA, Gandiva; bytes come from boto3.
    "pyarrow/include",
    "pyarrow/src",
    "pyarrow/libarrow_flight*",
    "pyarrow/libarrow_python_flight*",
    "pyarrow/_flight*",
    "pyarrow/flight*",
    "pyarrow/_substrait*",
    "pyarrow/substrait*",
    "pyarrow/_orc*",
    "pyarrow/orc*",
    "pyarrow/_s3fs*",
    "pyarrow/_gcsfs*",
    "pyarrow/_azurefs*",
    "pyarrow/_hdfs*",
    "pyarrow/_cuda*",
    "pyarrow/cuda*",
    "pyarrow/_dataset_orc*",
    "pyarrow/_pyarrow_cpp_tests*",
    "pyarrow/*.pxi",
    # The same library under its two other names; extensions ask for the one ending in the major version.
    "pyarrow/libarrow_python*.so",
    "pyarrow/libarrow_python*.so.*.*",
    "pyarrow/gandiva*",
    # numpy: Fortran bindings and their build files.
    "numpy/f2py",
    "numpy/*/lib/*.a",
    "numpy/_core/include",
    # AWS X-Ray's recorder extends web frameworks that no function has.
    "aws_xray_sdk/ext/django",
    "aws_xray_sdk/ext/flask",
)
