"""IAM: who may do what, on encrypted things too."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.fidelity.cloud import ACCOUNT, REGION, Cloud, allow, fresh


def refused(call: Any, *arguments: Any, **named: Any) -> str:
    """The code of the error that the call ends in."""
    with pytest.raises(ClientError) as error:
        call(*arguments, **named)
    return str(error.value.response["Error"]["Code"])


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def test_resources_scope_a_permission_and_a_deny_wins(cloud: Cloud) -> None:
    """reference_policies_evaluation-logic.html, 2026-11."""
    ours, theirs = fresh("ours"), fresh("theirs")
    for bucket in (ours, theirs):
        cloud.client("s3").create_bucket(Bucket=bucket)
    deny = {"Effect": "Deny", "Action": "s3:DeleteObject", "Resource": "*"}
    s3 = cloud.as_role(cloud.role(allow("s3:*", resource=f"arn:aws:s3:::{ours}/*"), deny), "s3")
    s3.put_object(Bucket=ours, Key="a", Body=b"x")
    assert refused(s3.put_object, Bucket=theirs, Key="a", Body=b"x") == "AccessDenied"
    assert refused(s3.delete_object, Bucket=ours, Key="a") == "AccessDenied"


def test_a_policy_that_demands_tls_locks_nobody_out_of_the_loopback(cloud: Cloud) -> None:
    """amazon-s3-policy-keys: CDK's enforce_ssl. Here plain HTTP on the loopback counts as TLS: see docs/fidelity.md."""
    bucket = fresh("bucket")
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket=bucket)
    deny = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(deny))
    writer = cloud.as_role(cloud.role(allow("s3:PutObject")), "s3")
    writer.put_object(Bucket=bucket, Key="a", Body=b"x")


def test_an_unknown_key_is_refused(cloud: Cloud) -> None:
    stranger = cloud._client("sqs", "AKIANOBODYKNOWSTHIS0", "secret")
    assert refused(stranger.list_queues) in ("UnrecognizedClientException", "InvalidClientTokenId")


def test_an_encrypted_buckets_objects_need_the_key_as_well(cloud: Cloud) -> None:
    """UsingKMSEncryption.html#require-sse-kms, 2026-11: kms:GenerateDataKey to write, kms:Decrypt to read.
    ministack 1.5.33 asks for neither."""
    bucket = fresh("bucket")
    key = cloud.client("kms").create_key()["KeyMetadata"]["Arn"]
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket=bucket)
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}}
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
    objects = allow("s3:PutObject", "s3:GetObject")
    without = cloud.as_role(cloud.role(objects), "s3")
    assert refused(without.put_object, Bucket=bucket, Key="a", Body=b"x") == "AccessDenied"
    writer = cloud.as_role(cloud.role(objects, allow("kms:GenerateDataKey", resource=key)), "s3")
    assert writer.put_object(Bucket=bucket, Key="a", Body=b"x")["SSEKMSKeyId"] == key
    assert refused(writer.get_object, Bucket=bucket, Key="a") == "AccessDenied"
    reader = cloud.as_role(cloud.role(objects, allow("kms:Decrypt", resource=key)), "s3")
    assert reader.get_object(Bucket=bucket, Key="a")["Body"].read() == b"x"


def test_aws_managed_encryption_asks_for_nothing(cloud: Cloud) -> None:
    """UsingKMSEncryption.html#aws-managed-customer-managed-keys, 2026-11: aws:kms without a key is alias/aws/s3.
    ministack 1.5.33 refuses it."""
    bucket = fresh("bucket")
    cloud.client("s3").create_bucket(Bucket=bucket)
    writer = cloud.as_role(cloud.role(allow("s3:PutObject")), "s3")
    written = writer.put_object(Bucket=bucket, Key="a", Body=b"x", ServerSideEncryption="aws:kms")
    assert written["SSEKMSKeyId"].endswith("alias/aws/s3")


def test_an_encrypted_queue_and_table_need_the_key_as_well(cloud: Cloud) -> None:
    """sqs-key-management.html and encryption.usagenotes.html, 2026-11."""
    key = cloud.client("kms").create_key()["KeyMetadata"]["Arn"]
    url, _ = cloud.queue(KmsMasterKeyId=key)
    table = fresh("table")
    cloud.client("dynamodb").create_table(
        TableName=table, BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        SSESpecification={"Enabled": True, "SSEType": "KMS", "KMSMasterKeyId": key},
    )  # fmt: skip
    actions = allow("sqs:SendMessage", "dynamodb:PutItem")
    without = cloud.role(actions)
    item = {"TableName": table, "Item": {"pk": {"S": "a"}}}
    assert "AccessDenied" in refused(cloud.as_role(without, "sqs").send_message, QueueUrl=url, MessageBody="x")
    assert "AccessDenied" in refused(cloud.as_role(without, "dynamodb").put_item, **item)
    with_key = cloud.role(actions, allow("kms:GenerateDataKey", "kms:Decrypt", resource=key))
    cloud.as_role(with_key, "sqs").send_message(QueueUrl=url, MessageBody="x")
    cloud.as_role(with_key, "dynamodb").put_item(**item)


def test_a_role_may_only_be_handed_to_sagemaker_by_who_may_pass_it(cloud: Cloud) -> None:
    """id_roles_use_passrole.html, 2026-11; ministack 1.5.33 has no PassRole."""
    model_role = cloud.role(service="sagemaker")
    model = {"ModelName": fresh("model"), "ExecutionRoleArn": model_role}
    without = cloud.as_role(cloud.role(allow("sagemaker:*")), "sagemaker")
    with pytest.raises(ClientError, match="iam:PassRole"):
        without.create_model(**model)
    passing = allow("iam:PassRole", resource=model_role)
    passing["Condition"] = {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
    allowed = cloud.as_role(cloud.role(allow("sagemaker:*"), passing), "sagemaker")
    with pytest.raises(ClientError) as error:
        allowed.create_model(**model)
    assert "iam:PassRole" not in str(error.value), "what is wrong now is the model, not the role"


def _table(cloud: Cloud) -> str:
    name = fresh("table")
    cloud.client("dynamodb").create_table(
        TableName=name, BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": one, "AttributeType": "S"} for one in ("pk", "sk")],
    )  # fmt: skip
    return name


def test_a_leading_key_limits_a_role_to_its_partitions_in_every_operation_that_names_one(cloud: Cloud) -> None:
    """DynamoDB's specifying-conditions.html, 2026-12. ministack 1.5.33 doesn't know dynamodb:LeadingKeys: with
    ForAllValues, which an absent key meets, it would let a role into every partition."""
    table = _table(cloud)
    actions = [f"dynamodb:{name}Item" for name in ("Get", "Put", "Update", "Delete", "BatchGet", "BatchWrite")]
    statement = allow(*actions, "dynamodb:Query")
    statement["Condition"] = {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["ours", "ours too"]}}
    db = cloud.as_role(cloud.role(statement), "dynamodb")

    def tries(partition: str) -> list[tuple[Any, dict[str, Any]]]:
        key = {"pk": {"S": partition}, "sk": {"S": "a"}}
        asked = {"ExpressionAttributeNames": {"#p": "pk"}, "ExpressionAttributeValues": {":p": {"S": partition}}}
        return [
            (db.put_item, {"TableName": table, "Item": key}),
            (db.get_item, {"TableName": table, "Key": key}),
            (db.update_item, {"TableName": table, "Key": key}),
            (db.query, {"TableName": table, "KeyConditionExpression": "#p = :p", **asked}),
            (db.batch_get_item, {"RequestItems": {table: {"Keys": [{"pk": {"S": "ours"}, "sk": {"S": "b"}}, key]}}}),
            (db.batch_write_item, {"RequestItems": {table: [{"PutRequest": {"Item": key}}]}}),
            (db.transact_write_items, {"TransactItems": [{"Put": {"TableName": table, "Item": key}}]}),
            (db.delete_item, {"TableName": table, "Key": key}),
        ]

    for call, given in [*tries("ours"), *tries("ours too")]:
        call(**given)
    for call, given in tries("theirs"):
        assert "AccessDenied" in refused(call, **given), given
    assert "AccessDenied" in refused(db.scan, TableName=table)


def test_each_item_of_a_transaction_is_allowed_or_denied_on_its_own(cloud: Cloud) -> None:
    """DynamoDB's transaction-apis-iam.html, 2026-12."""
    table = _table(cloud)

    def on(action: str, partition: str) -> dict[str, Any]:
        keys = {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": [partition]}}
        return {**allow(f"dynamodb:{action}"), "Condition": keys}

    db = cloud.as_role(cloud.role(on("PutItem", "written"), on("UpdateItem", "updated")), "dynamodb")

    def put(partition: str) -> dict[str, Any]:
        return {"Put": {"TableName": table, "Item": {"pk": {"S": partition}, "sk": {"S": "a"}}}}

    def update(partition: str) -> dict[str, Any]:
        return {
            "Update": {
                "TableName": table,
                "Key": {"pk": {"S": partition}, "sk": {"S": "a"}},
                "UpdateExpression": "SET n = :n",
                "ExpressionAttributeValues": {":n": {"N": "1"}},
            }
        }

    db.transact_write_items(TransactItems=[put("written"), update("updated")])
    for items in ([put("written"), put("updated")], [update("updated"), update("written")]):
        assert "AccessDenied" in refused(db.transact_write_items, TransactItems=items)


def test_a_detail_type_and_a_source_limit_what_a_role_may_say_on_a_bus(cloud: Cloud) -> None:
    """EventBridge's eb-use-conditions.html, 2026-12; ministack 1.5.33 knows neither key."""
    bus = fresh("bus")
    arn = cloud.client("events").create_event_bus(Name=bus)["EventBusArn"]
    statement = allow("events:PutEvents", resource=arn)
    said = {"events:source": "shop", "events:detail-type": ["Sold", "Returned"]}
    statement["Condition"] = {"ForAllValues:StringEquals": said, "Null": dict.fromkeys(said, "false")}
    events = cloud.as_role(cloud.role(statement), "events")

    def entry(detail_type: str, source: str = "shop") -> dict[str, Any]:
        return {"EventBusName": bus, "Source": source, "DetailType": detail_type, "Detail": "{}"}

    assert events.put_events(Entries=[entry("Sold"), entry("Returned")])["FailedEntryCount"] == 0
    for entries in ([entry("Stolen")], [entry("Sold", "bank")], [entry("Sold"), entry("Stolen")]):
        assert "AccessDenied" in refused(events.put_events, Entries=entries)


def _training_job(role: str, **members: Any) -> dict[str, Any]:
    """A job that is refused for its image once its keys may be used."""
    return {
        "TrainingJobName": fresh("job"),
        "AlgorithmSpecification": {"TrainingImage": "no-such-image", "TrainingInputMode": "File"},
        "RoleArn": role,
        "OutputDataConfig": {"S3OutputPath": "s3://bucket/jobs"} | members.get("output", {}),
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5}
        | members.get("resources", {}),
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
    }


def _processing_job(role: str, **members: Any) -> dict[str, Any]:
    cluster = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5}
    return {
        "ProcessingJobName": fresh("job"),
        "AppSpecification": {"ImageUri": "no-such-image", "ContainerEntrypoint": ["python3", "a.py"]},
        "RoleArn": role,
        "ProcessingOutputConfig": {"Outputs": []} | members.get("output", {}),
        "ProcessingResources": {"ClusterConfig": cluster | members.get("resources", {})},
    }


@pytest.mark.parametrize(
    ("operation", "job"), [("create_training_job", _training_job), ("create_processing_job", _processing_job)]
)
def test_a_jobs_volume_key_needs_a_grant_of_its_role_or_of_its_caller(cloud: Cloud, operation: str, job: Any) -> None:
    """sagemaker-roles.html and api-permissions-reference.html, 2026-11: kms:CreateGrant where VolumeKmsKeyId is given,
    of the associated role or else of the caller."""
    key = cloud.client("kms").create_key()["KeyMetadata"]["Arn"]
    grant = allow("kms:CreateGrant", resource=key)
    grant["Condition"] = {"Bool": {"kms:GrantIsForAWSResource": "true"}}
    calling = (allow("sagemaker:*"), allow("iam:PassRole"))
    plain, granting = (cloud.role(*more, service="sagemaker") for more in ((), (grant,)))

    def error(caller: str, role: str) -> str:
        with pytest.raises(ClientError) as refusal:
            getattr(cloud.as_role(caller, "sagemaker"), operation)(**job(role, resources={"VolumeKmsKeyId": key}))
        return str(refusal.value)

    without, with_grant = cloud.role(*calling), cloud.role(*calling, grant)
    assert "AccessDenied" in error(without, plain) and "kms:CreateGrant" in error(without, plain)
    assert "kms" not in error(without, granting)
    assert "kms" not in error(with_grant, plain)


@pytest.mark.parametrize(
    ("operation", "job"), [("create_training_job", _training_job), ("create_processing_job", _processing_job)]
)
def test_a_jobs_output_key_needs_encrypt_of_its_role(cloud: Cloud, operation: str, job: Any) -> None:
    """sagemaker-roles.html, 2026-11: kms:Encrypt "if you specify a KMS key in the output configuration"."""
    key = cloud.client("kms").create_key()["KeyMetadata"]["Arn"]
    create = getattr(cloud.as_role(cloud.role(allow("*")), "sagemaker"), operation)
    with pytest.raises(ClientError, match="kms:Encrypt"):
        create(**job(cloud.role(service="sagemaker"), output={"KmsKeyId": key}))
    with pytest.raises(ClientError) as error:
        create(**job(cloud.role(allow("kms:Encrypt", resource=key), service="sagemaker"), output={"KmsKeyId": key}))
    assert "kms" not in str(error.value), "what is wrong now is the image, not the key"


def test_the_root_pair_may_do_everything(cloud: Cloud) -> None:
    who = cloud.client("sts").get_caller_identity()
    assert (who["Account"], who["Arn"]) == (ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root")
    assert cloud.client("sqs").list_queues()["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert cloud.client("kms").meta.region_name == REGION
