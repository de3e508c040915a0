"""
The scikit-learn container's serving contract in one small server: GET /ping and POST /invocations.

    SAGEMAKER_PROGRAM=inference.py SAGEMAKER_SUBMIT_DIRECTORY=.../model/code python serve.py MODEL_DIR PORT_FILE

The user's module offers model_fn(model_dir), and may offer input_fn(body, content_type), predict_fn(data, model),
output_fn(prediction, accept), or one transform_fn(model, body, content_type, accept) in place of those three.
Runs apart from the local cloud and imports nothing of it. It writes the port that it took to PORT_FILE.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import sys
import traceback
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

DEFAULT_ACCEPT = "application/json"
# The toolkit's UTF8_TYPES: written just so, what is no UTF-8 replaced; anything else reaches input_fn as bytes.
DECODED = ("application/json", "text/csv")


class Unsupported(Exception):
    """A content type that the default functions do not know."""


class Model:
    """The user's module and the model that it loaded."""

    def __init__(self, model_dir: str) -> None:
        code = os.environ.get("SAGEMAKER_SUBMIT_DIRECTORY", str(Path(model_dir) / "code"))
        program = os.environ.get("SAGEMAKER_PROGRAM", "inference.py")
        if not (Path(code) / program).is_file():
            raise FileNotFoundError(f"SAGEMAKER_PROGRAM {program} must be in {code}")
        sys.path.insert(0, code)
        self._module = importlib.import_module(program.removesuffix(".py"))
        if not hasattr(self._module, "model_fn"):
            raise NotImplementedError(f"{program} must define model_fn(model_dir)")
        self._model = self._module.model_fn(model_dir)

    def respond(self, body: bytes, content_type: str, accept: str) -> tuple[int, bytes, str]:
        """The answer to one request: status, body and content type."""
        data: bytes | str = body.decode(errors="replace") if content_type in DECODED else body
        transform = getattr(self._module, "transform_fn", None)
        if transform is not None:
            return _answer(transform(self._model, data, content_type, accept), accept)
        taken = getattr(self._module, "input_fn", _input)(data, content_type)
        predicted = getattr(self._module, "predict_fn", _predict)(taken, self._model)
        return _answer(getattr(self._module, "output_fn", _output)(predicted, accept), accept)


def _answer(answer: Any, accept: str) -> tuple[int, bytes, str]:
    """What the image makes of an answer: a body, a body with its type, or a whole response (werkzeug's)."""
    if hasattr(answer, "get_data"):
        return answer.status_code, answer.get_data(), answer.mimetype or accept
    body, kind = answer if isinstance(answer, tuple) else (answer, accept)
    return 200, (body.encode() if isinstance(body, str) else bytes(body)), kind


def _input(data: bytes | str, content_type: str) -> Any:
    import numpy as np

    kind = content_type.partition(";")[0].strip()
    if kind == "text/csv":
        return np.genfromtxt(io.StringIO(_text(data)), delimiter=",", dtype=np.float32, ndmin=2)
    if kind == "application/json":
        return np.array(json.loads(_text(data)), dtype=np.float32)
    if kind == "application/x-npy" and isinstance(data, bytes):
        return np.load(io.BytesIO(data), allow_pickle=False)
    raise Unsupported(f"Content type {content_type} is not supported by the default input_fn")


def _text(data: bytes | str) -> str:
    return data if isinstance(data, str) else data.decode()


def _predict(data: Any, model: Any) -> Any:
    return model.predict(data)


def _output(prediction: Any, accept: str) -> tuple[bytes, str]:
    import numpy as np

    array = np.asarray(prediction)
    if accept == "application/json":
        return json.dumps(array.tolist()).encode(), accept
    if accept == "text/csv":
        rows = array if array.ndim > 1 else array.reshape(-1, 1)
        return "\n".join(",".join(str(cell) for cell in row) for row in rows.tolist()).encode(), accept
    if accept == "application/x-npy":
        buffer = io.BytesIO()
        np.save(buffer, array)
        return buffer.getvalue(), accept
    raise Unsupported(f"Accept {accept} is not supported by the default output_fn")


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    model: ClassVar[Model]

    def do_GET(self) -> None:
        self._answer(200 if self.path == "/ping" else 404, b"", "text/plain")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path != "/invocations":
            self._answer(404, b"", "text/plain")
            return
        content_type = self.headers.get("Content-Type") or "application/json"
        accept = self.headers.get("Accept") or ""
        if accept in ("", "*/*"):
            accept = os.environ.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", DEFAULT_ACCEPT)
        try:
            status, answer, kind = self.model.respond(body, content_type, accept)
        except Unsupported as error:
            self._answer(415, str(error).encode(), "text/plain")
        except Exception as error:  # noqa: BLE001 - the user's code may raise anything: it is the answer
            traceback.print_exc()
            self._answer(500, f"{type(error).__name__}: {error}".encode(), "text/plain")
        else:
            self._answer(status, answer, kind)

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        start = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"
        head = f"{start}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        self.wfile.write(head.encode("latin-1") + body)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not logged, failures are."""


class Server(ThreadingHTTPServer):
    """Answers each connection in its own thread."""

    daemon_threads = True
    request_queue_size = 128


def main(model_dir: str, port_file: str) -> None:
    """Load the model, then listen, then say where: whoever reads the port can send requests."""
    Handler.model = Model(model_dir)
    server = Server(("127.0.0.1", 0), Handler)
    partial = Path(port_file).with_suffix(".partial")
    partial.write_text(str(server.server_port))
    partial.replace(port_file)
    sys.stderr.write(f"serving {os.environ.get('SAGEMAKER_PROGRAM')} on port {server.server_port}\n")
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
