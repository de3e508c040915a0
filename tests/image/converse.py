"""
Inside a serving container: start the server, wait until it is healthy, ask, write down the answers, stop it.

    python converse.py REQUESTS.json ANSWERS.json COMMAND...

A request is {"type", "accept", "body"} with the body in base64, an answer [status, content type, body in base64].
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

HOST = "http://127.0.0.1:8080"


def answer(request: urllib.request.Request | str) -> list[object]:
    try:
        with urllib.request.urlopen(request) as response:
            return [response.status, response.headers.get_content_type(), base64.b64encode(response.read()).decode()]
    except urllib.error.HTTPError as error:
        return [error.code, error.headers.get_content_type(), base64.b64encode(error.read()).decode()]


def is_healthy() -> bool:
    try:
        return answer(f"{HOST}/ping")[0] == 200
    except OSError:
        return False


def main(requests: str, answers: str, *command: str) -> int:
    server = subprocess.Popen(command)
    # As long as it takes: a slow machine is no failure, an ended server is one.
    while not is_healthy():
        if server.poll() is not None:
            sys.stderr.write(f"the server ended with {server.returncode} before it was healthy\n")
            return 1
        time.sleep(0.2)
    given = []
    for one in json.loads(Path(requests).read_text()):
        headers = {"Content-Type": one["type"], **({"Accept": one["accept"]} if one["accept"] else {})}
        body = base64.b64decode(one["body"])
        given.append(answer(urllib.request.Request(f"{HOST}/invocations", body, headers, method="POST")))
    Path(answers).write_text(json.dumps(given))
    server.terminate()
    server.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
