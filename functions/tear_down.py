"""
What `cdk destroy` must remove but CloudFormation doesn't own: endpoint, configurations, models, packages, objects.

Trigger: CloudFormation custom resource; answers its response URL itself. Only Delete does anything. Runs again by
itself when time runs short.

AWS actions
-----------
- buckets to empty: s3:ListBucketVersions, s3:DeleteObject, s3:DeleteObjectVersion, s3:BypassGovernanceRetention,
  s3:AbortMultipartUpload, s3:ListBucketMultipartUploads
- endpoint, configurations and models of the loop: sagemaker:DescribeEndpoint, DeleteEndpoint,
  DescribeEndpointConfig, DeleteEndpointConfig,
  DeleteModel, ListTags; on *: sagemaker:ListEndpointConfigs, ListModels
- model package group: sagemaker:ListModelPackages (takes no resource), DeleteModelPackage
- itself: lambda:InvokeFunction
"""

from __future__ import annotations

from functions import _shell

__all__ = ["Settings"]


class Settings(_shell.Settings):
    """The environment of tear_down."""

    # Empty where this stack has nothing of the kind to remove.
    bucket_names: tuple[str, ...] = ()
    endpoint_name: str = ""
    model_package_group: str = ""
