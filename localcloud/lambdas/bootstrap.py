"""
What runs inside a Lambda worker: loads the handler, then answers one invocation after another.

Runs as a script under `python -I -S`, so that a function sees its bundle, the SDK that AWS's runtime brings, and the
standard library: nothing else that happens to be installed here. Imports nothing of the local cloud.

File descriptors: 0 gets one JSON line an invocation; the one named by LOCALCLOUD_ANSWERS takes one JSON line each;
the one named by LOCALCLOUD_ALIVE reaches its end when the server is gone.
"""

import importlib
import json
import os
import sys
import threading
import time
import traceback


class Context:
    """https://docs.aws.amazon.com/lambda/latest/dg/python-context.html"""

    def __init__(self, call):
        environ = os.environ
        self.function_name = environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = environ["AWS_LAMBDA_FUNCTION_VERSION"]
        self.memory_limit_in_mb = environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.log_group_name = environ["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = environ["AWS_LAMBDA_LOG_STREAM_NAME"]
        self.invoked_function_arn = call["arn"]
        self.aws_request_id = call["request_id"]
        self.tenant_id = None
        self.identity = None
        self.client_context = None
        self._deadline = time.monotonic() + call["timeout_seconds"]

    def get_remaining_time_in_millis(self):
        return max(0, int((self._deadline - time.monotonic()) * 1000))

    def log(self, message):
        sys.stdout.write(str(message))


def main():
    answers = os.fdopen(int(os.environ.pop("LOCALCLOUD_ANSWERS")), "w")
    alive = int(os.environ.pop("LOCALCLOUD_ALIVE"))
    threading.Thread(target=end_with, args=(alive,), daemon=True).start()
    calls = os.fdopen(os.dup(0), "r")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.path[:0] = json.loads(os.environ.pop("LOCALCLOUD_PATH"))
    count_hops()
    handler = None
    failure = {}
    try:
        handler = load(os.environ["_HANDLER"])
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is the function's
        failure = describe_load_failure(error)
    reply(answers, failure or {"loaded": True})
    for line in calls if not failure else ():
        reply(answers, answer(handler, json.loads(line)))


def load(name):
    module_name, _, function = name.rpartition(".")
    module = importlib.import_module(module_name.replace("/", "."))
    try:
        return getattr(module, function)
    except AttributeError:
        raise HandlerNotFound(f"Handler '{function}' missing on module '{module_name}'") from None


class HandlerNotFound(Exception):
    pass


def answer(handler, call):
    for name, value in call["environment"].items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    context = Context(call)
    try:
        result = handler(call["event"], context)
    except SystemExit:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is the function's
        return describe(error, context.aws_request_id)
    try:
        return {"result": json.dumps(result, default=to_json)}
    except Exception as error:  # noqa: BLE001 - an object may fail in its own ways
        message = f"Unable to marshal response: {error}"
        return failed("Runtime.MarshalError", message, [], context.aws_request_id)


def to_json(value):
    # The runtime's encoder takes Decimal, as DynamoDB's resource gives it.
    if type(value).__name__ == "Decimal":
        return float(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def describe(error, request_id):
    frames = traceback.extract_tb(error.__traceback__)[1:]
    trace = traceback.format_list(frames)
    sys.stderr.write(f"[ERROR] {type(error).__name__}: {error}\nTraceback (most recent call last):\n{''.join(trace)}")
    return failed(type(error).__name__, str(error), trace, request_id)


def describe_load_failure(error):
    name = os.environ["_HANDLER"].rpartition(".")[0]
    if isinstance(error, HandlerNotFound):
        kind, message = "Runtime.HandlerNotFound", str(error)
    elif isinstance(error, ImportError):
        kind, message = "Runtime.ImportModuleError", f"Unable to import module '{name}': {error}"
    elif isinstance(error, SyntaxError):
        kind, message = "Runtime.UserCodeSyntaxError", f"Syntax error in module '{name}': {error}"
    else:
        kind, message = type(error).__name__, str(error)
    trace = traceback.format_list(traceback.extract_tb(error.__traceback__)[2:])
    sys.stderr.write(f"[ERROR] {kind}: {message}\nTraceback (most recent call last):\n{''.join(trace)}\n")
    return failed(kind, message, trace, "")


def failed(kind, message, trace, request_id):
    error = {"errorMessage": message, "errorType": kind, "requestId": request_id, "stackTrace": trace}
    return {"error": error}


def reply(answers, message):
    sys.stdout.flush()
    sys.stderr.flush()
    answers.write(json.dumps(message) + "\n")
    answers.flush()


def count_hops():
    """Let the server see how deep a chain of invocations is, as AWS's recursive loop detection does."""

    def mark(params, **_):
        depth = os.environ.get("_LOCALCLOUD_DEPTH")
        if depth:
            params["headers"]["X-Ministack-Invoke-Depth"] = depth

    class Finder:
        # botocore is imported by the function, or never: this waits for it instead of paying for it.
        def find_spec(self, name, path=None, target=None):
            if name != "botocore.handlers":
                return None
            sys.meta_path.remove(self)
            spec = importlib.util.find_spec(name)
            run = spec.loader.exec_module

            def exec_module(module):
                run(module)
                module.BUILTIN_HANDLERS.append(("before-call", mark))

            spec.loader.exec_module = exec_module
            return spec

    import importlib.util

    sys.meta_path.insert(0, Finder())


def end_with(descriptor):
    os.read(descriptor, 1)
    os._exit(1)


if __name__ == "__main__":
    main()
