"""What SageMaker answers when it refuses."""

from __future__ import annotations


class SageMakerError(Exception):
    """
    A refusal: `code` is what botocore raises, the message what AWS says.

        SageMakerError
        ├── ValidationException   wrong, unknown or conflicting input; also what is missing, as on AWS
        ├── ResourceInUse         a job's name is taken
        ├── ResourceLimitExceeded more than the account's quota
        ├── ResourceNotFound      a job, package or group is not there
        └── ConflictException     a model package group is not empty
    """

    code = "InternalFailure"
    status = 400


class ValidationException(SageMakerError):
    """Wrong input; also the answer to most names that do not exist."""

    code = "ValidationException"


class ResourceInUse(SageMakerError):
    """The name of a job is taken, for ever."""

    code = "ResourceInUse"


class ResourceLimitExceeded(SageMakerError):
    """More than the account's quota."""

    code = "ResourceLimitExceeded"


class ResourceNotFound(SageMakerError):
    """There is no such job."""

    code = "ResourceNotFound"


class ConflictException(SageMakerError):
    """The state of something else stands in the way."""

    code = "ConflictException"
