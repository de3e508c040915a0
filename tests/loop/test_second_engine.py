"""The replay engine itself: it follows answers, retries, catches and choices as recorded."""

from __future__ import annotations

from tests.loop.second_engine import Answer, replay

DEFINITION = {
    "StartAt": "Work",
    "States": {
        "Work": {
            "Type": "Task",
            "Resource": "arn:aws:states:::lambda:invoke",
            "Parameters": {"FunctionName": "f", "Payload.$": "$"},
            "ResultSelector": {"value.$": "$.Payload.value"},
            "ResultPath": "$.work",
            "Retry": [{"ErrorEquals": ["Busy"], "IntervalSeconds": 5, "MaxAttempts": 3, "JitterStrategy": "FULL"}],
            "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Mourn", "ResultPath": "$.error"}],
            "Next": "Train",
        },
        "Train": {
            "Type": "Task",
            "Resource": "arn:aws:states:::sagemaker:createTrainingJob.sync",
            "Parameters": {"TrainingJobName.$": "$.name"},
            "ResultPath": "$.training",
            "Next": "Rest",
        },
        "Rest": {"Type": "Wait", "Seconds": 3600, "Next": "Done"},
        "Done": {"Type": "Succeed"},
        "Mourn": {"Type": "Fail", "Error": "Broken", "Cause": "caught"},
    },
}


def test_a_replay_retries_as_recorded_and_keeps_outputs():
    answers = {
        "Work": [Answer(error="Busy"), Answer(output={"Payload": {"value": 7}})],
        "Train": [Answer(output={"TrainingJobStatus": "Completed"})],
    }
    run = replay(DEFINITION, {"name": "n"}, answers)
    assert run.status == "SUCCEEDED"
    assert run.states == ("Work", "Train", "Rest", "Done")
    assert run.output == {"name": "n", "work": {"value": 7}, "training": {"TrainingJobStatus": "Completed"}}


def test_a_replay_takes_the_catch_that_the_error_names():
    run = replay(DEFINITION, {"name": "n"}, {"Work": [Answer(error="Unheard", cause="of")]})
    assert (run.status, run.states, run.error) == ("FAILED", ("Work", "Mourn"), "Broken")


def test_a_task_that_runs_more_often_than_recorded_fails_the_replay():
    run = replay(DEFINITION, {"name": "n"}, {"Work": [Answer(error="Busy")]})
    assert run.status == "FAILED"


def test_a_function_called_by_its_arn_answers_without_an_envelope_and_its_error_is_caught():
    function = "arn:aws:lambda:us-east-1:123456789012:function:f"
    work = {**DEFINITION["States"]["Work"], "Resource": function}
    del work["Parameters"], work["ResultSelector"]
    definition = {**DEFINITION, "States": {**DEFINITION["States"], "Work": {**work, "Next": "Done"}}}
    answered = replay(definition, {"name": "n"}, {"Work": [Answer(error="Busy"), Answer(output={"value": 7})]})
    assert (answered.status, answered.output) == ("SUCCEEDED", {"name": "n", "work": {"value": 7}})
    failed = replay(definition, {"name": "n"}, {"Work": [Answer(error="Unheard")]})
    assert (failed.states, failed.error) == (("Work", "Mourn"), "Broken")
