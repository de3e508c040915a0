"""Rules, schedules, queues: nothing is lost silently, nothing of ours triggers us, nobody else can."""

from __future__ import annotations

from tests.infra.conftest import Assembly
from tests.infra.definitions import resolved


def test_p15_every_rule_target_has_a_dead_letter_queue_and_a_retry_policy(assembly: Assembly):
    targets = [
        (name, target)
        for _, name, rule in assembly.resources("AWS::Events::Rule")
        for target in rule["Properties"]["Targets"]
    ]
    assert len(targets) >= 8
    for name, target in targets:
        assert target["DeadLetterConfig"]["Arn"], name
        assert target["RetryPolicy"]["MaximumRetryAttempts"] > 0, name
        assert target["RetryPolicy"]["MaximumEventAgeInSeconds"] > 0, name


def test_p15_every_schedule_has_a_dead_letter_queue_and_a_retry_policy(assembly: Assembly):
    schedules = assembly.resources("AWS::Scheduler::Schedule")
    assert len(schedules) == 3
    for _, name, schedule in schedules:
        target = schedule["Properties"]["Target"]
        assert target["DeadLetterConfig"]["Arn"], name
        assert target["RetryPolicy"]["MaximumRetryAttempts"] > 0, name


def test_functions_that_are_called_asynchronously_have_a_dead_letter_queue(earning_assembly: Assembly):
    called = {
        target["Arn"]["Fn::GetAtt"][0]
        for _, _, rule in earning_assembly.resources("AWS::Events::Rule")
        for target in rule["Properties"]["Targets"]
        if "Fn::GetAtt" in target["Arn"]
    } | {
        schedule["Properties"]["Target"]["Arn"]["Fn::GetAtt"][0]
        for _, _, schedule in earning_assembly.resources("AWS::Scheduler::Schedule")
    }
    functions = {name: resource for _, name, resource in earning_assembly.resources("AWS::Lambda::Function")}
    asynchronous = [name for name in functions if name in called or name.startswith("RollBack")]
    assert len(asynchronous) == 8
    for name in asynchronous:
        assert "DeadLetterConfig" in functions[name]["Properties"], name


def test_every_queue_is_a_dead_letter_queue_or_has_one(assembly: Assembly):
    queues = assembly.resources("AWS::SQS::Queue")
    dead = {
        queue["Properties"]["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]
        for _, _, queue in queues
        if "RedrivePolicy" in queue["Properties"]
    }
    for _, name, queue in queues:
        assert "RedrivePolicy" in queue["Properties"] or name in dead or "Undelivered" in name, name


def test_a_message_stays_hidden_longer_than_its_consumer_may_take_and_for_no_hours(assembly: Assembly):
    functions = {name: resource for _, name, resource in assembly.resources("AWS::Lambda::Function")}
    queues = {name: resource for _, name, resource in assembly.resources("AWS::SQS::Queue")}
    sources = assembly.resources("AWS::Lambda::EventSourceMapping")
    assert len(sources) == 4
    for _, name, source in sources:
        queue = queues[source["Properties"]["EventSourceArn"]["Fn::GetAtt"][0]]["Properties"]
        function = functions[source["Properties"]["FunctionName"]["Ref"]]["Properties"]
        longest = function["Timeout"]
        assert min(6 * longest, longest + 900) == queue["VisibilityTimeout"], name
        assert source["Properties"]["FunctionResponseTypes"] == ["ReportBatchItemFailures"], name


def test_p13_a_call_gets_one_file_and_all_of_a_functions_time(assembly: Assembly):
    """A file that kills its call, or takes all of its time, takes no neighbour with it; ledger entries are no files."""
    sources = assembly.resources("AWS::Lambda::EventSourceMapping")
    sizes = {
        source["Properties"]["FunctionName"]["Ref"].split("Function")[0]: source["Properties"]["BatchSize"]
        for _, _, source in sources
    }
    assert sizes == {"ValidateBatch": 1, "JoinLabels": 1, "IngestCapture": 1, "AppendLedger": 10}
    (validate,) = (
        resource["Properties"]
        for _, name, resource in assembly.resources("AWS::Lambda::Function")
        if name.startswith("ValidateBatch")
    )
    assert validate["Timeout"] == 900, "Lambda's longest"


def test_p38_no_rule_on_a_bucket_matches_what_our_own_functions_write_there(assembly: Assembly):
    """Rules look at prefixes that only producers (landing) and SageMaker's capture (lake) write under."""
    watched = [
        f"{rule['Properties']['EventPattern']['detail']['bucket']['name'][0]['Ref']}/{entry['prefix']}"
        for _, _, rule in assembly.resources("AWS::Events::Rule")
        if rule["Properties"]["EventPattern"].get("source") == ["aws.s3"]
        for entry in rule["Properties"]["EventPattern"]["detail"]["object"]["key"]
    ]
    assert sorted(one.partition("/")[2] for one in watched) == ["batches/", "capture/", "labels/"]
    written = [
        str(resolved(resource, assembly.templates[part], assembly.templates)).removeprefix("arn:aws:s3:::")
        for part, _, policy in assembly.resources("AWS::IAM::Policy")
        for role in policy["Properties"]["Roles"]
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if "s3:PutObject" in as_list(statement["Action"]) and not role.get("Ref", "").startswith("ModelRole")
        for resource in as_list(statement["Resource"])
    ]
    assert len(written) >= 8
    for resource in written:
        assert not any(resource.startswith(prefix) for prefix in watched), resource
        assert not resource.startswith("Landing"), resource


def test_rules_on_the_loops_bus_see_this_loop_only(assembly: Assembly):
    ours = [
        rule["Properties"]
        for _, _, rule in assembly.resources("AWS::Events::Rule")
        if "perennial" in rule["Properties"]["EventPattern"]["source"]
    ]
    assert len(ours) >= 5
    for rule in ours:
        assert rule["EventPattern"]["detail"]["loop"] == ["bikeshare"]
        assert "EventBusName" in rule


def test_p54_rules_on_the_default_bus_see_this_account_only(assembly: Assembly):
    theirs = [
        rule["Properties"]["EventPattern"]
        for _, _, rule in assembly.resources("AWS::Events::Rule")
        if rule["Properties"]["EventPattern"]["source"] != ["perennial"]
    ]
    assert len(theirs) == 4
    for pattern in theirs:
        assert pattern["account"] == [{"Ref": "AWS::AccountId"}]


def test_every_event_reaches_the_ledger(assembly: Assembly):
    _, rule = assembly.one("Data", "AWS::Events::Rule", "AnythingHappened")
    pattern = rule["Properties"]["EventPattern"]
    assert pattern == {"source": ["perennial"], "detail": {"loop": ["bikeshare"]}}


def as_list(value: object) -> list:
    return value if isinstance(value, list) else [value]
