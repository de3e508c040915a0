"""Buckets, catalog and key: encrypted with the loop's key, versioned, closed, and never lost by accident."""

from __future__ import annotations

from functions._shell import EXPIRY_ATTRIBUTE
from tests.infra.conftest import Assembly


def test_every_bucket_is_closed_to_the_public_and_versioned(assembly: Assembly):
    buckets = assembly.resources("AWS::S3::Bucket")
    assert len(buckets) == 4
    closed = dict.fromkeys(("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"), True)
    for _, name, bucket in buckets:
        assert closed == bucket["Properties"]["PublicAccessBlockConfiguration"], name
        assert bucket["Properties"]["VersioningConfiguration"]["Status"] == "Enabled", name
        assert "BucketOwnerEnforced" in str(bucket["Properties"]["OwnershipControls"]), name


def test_every_bucket_with_data_is_encrypted_with_the_loops_key_and_logged(assembly: Assembly):
    for _, name, bucket in assembly.resources("AWS::S3::Bucket"):
        (rule,) = bucket["Properties"]["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        if name.startswith("AccessLogs"):
            assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
            continue
        assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms", name
        assert rule["ServerSideEncryptionByDefault"]["KMSMasterKeyID"]["Fn::GetAtt"][0].startswith("Key"), name
        assert rule["BucketKeyEnabled"] is True, name
        assert bucket["Properties"]["LoggingConfiguration"]["LogFilePrefix"], name


def test_landing_and_lake_tell_eventbridge_without_a_custom_resource(assembly: Assembly):
    telling = [
        name
        for _, name, bucket in assembly.resources("AWS::S3::Bucket")
        if bucket["Properties"].get("NotificationConfiguration")
        == {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}
    ]
    assert sorted(name[:-8] for name in telling) == ["Lake", "Landing"]
    custom = {resource["Type"] for _, _, resource in assembly.resources() if resource["Type"].startswith("Custom::")}
    assert {"Custom::TearDown"} == custom


def test_the_audit_bucket_is_locked_in_governance_mode(assembly: Assembly):
    _, audit = assembly.one("Data", "AWS::S3::Bucket", "Audit")
    assert audit["Properties"]["ObjectLockEnabled"] is True
    retention = audit["Properties"]["ObjectLockConfiguration"]["Rule"]["DefaultRetention"]
    assert retention == {"Mode": "GOVERNANCE", "Days": 365}


def test_old_versions_and_unfinished_uploads_do_not_stay_for_ever(assembly: Assembly):
    for name in ("Landing", "Lake"):
        _, bucket = assembly.one("Data", "AWS::S3::Bucket", name)
        rules = bucket["Properties"]["LifecycleConfiguration"]["Rules"]
        assert any("NoncurrentVersionExpiration" in rule for rule in rules), name
        assert any("AbortIncompleteMultipartUpload" in rule for rule in rules), name


def test_the_catalog_can_be_restored_and_is_paid_by_request(assembly: Assembly):
    ((_, _, table),) = assembly.resources("AWS::DynamoDB::Table")
    properties = table["Properties"]
    assert properties["BillingMode"] == "PAY_PER_REQUEST"
    assert properties["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True
    assert properties["SSESpecification"]["SSEType"] == "KMS"
    assert properties["TimeToLiveSpecification"] == {"AttributeName": EXPIRY_ATTRIBUTE, "Enabled": True}


def test_the_key_rotates(assembly: Assembly):
    ((_, _, key),) = assembly.resources("AWS::KMS::Key")
    assert key["Properties"]["EnableKeyRotation"] is True


def test_queues_and_topic_are_encrypted(assembly: Assembly):
    for _, name, queue in assembly.resources("AWS::SQS::Queue"):
        assert queue["Properties"]["SqsManagedSseEnabled"] is True, name
    for _, name, topic in assembly.resources("AWS::SNS::Topic"):
        assert "KmsMasterKeyId" in topic["Properties"], name


def test_logs_are_encrypted_and_end_some_day(assembly: Assembly):
    groups = assembly.resources("AWS::Logs::LogGroup")
    assert len(groups) >= 22
    for _, name, group in groups:
        assert group["Properties"]["RetentionInDays"] == 90, name
        assert "KmsKeyId" in group["Properties"], name


def test_only_what_aws_makes_us_name_has_a_physical_name(assembly: Assembly):
    """Anything else could not be replaced, nor deployed twice into one account."""
    named = [
        (resource["Type"], name)
        for _, name, resource in assembly.resources()
        for key in resource.get("Properties", {})
        if key in ("BucketName", "TableName", "QueueName", "RoleName", "TopicName", "StateMachineName")
        # A composite alarm's name is made by the CDK, from its place in the app.
        or (key == "AlarmName" and resource["Type"] == "AWS::CloudWatch::Alarm")
        or (key == "FunctionName" and resource["Type"] == "AWS::Lambda::Function")
        or (key == "Name" and resource["Type"] in ("AWS::Events::Rule", "AWS::Scheduler::Schedule"))
    ]
    assert named == []


def test_everything_that_takes_tags_says_whose_it_is(assembly: Assembly):
    wanted = {("loop", "bikeshare"), ("environment", "development"), ("cost-centre", "unassigned")}
    for kind in ("AWS::S3::Bucket", "AWS::Lambda::Function", "AWS::DynamoDB::Table", "AWS::KMS::Key"):
        for _, name, resource in assembly.resources(kind):
            assert wanted <= {(tag["Key"], tag["Value"]) for tag in resource["Properties"]["Tags"]}, name
