"""The log of a proof: one file that may be attached to a report, since it names no account and holds no secret."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

__all__ = ["Log", "Redaction"]

_PATTERNS = (
    # A URL that is its own permission, as S3 gives for a function's code.
    (re.compile(r"(X-Amz-(?:Signature|Credential|Security-Token)=)[^&\s\"']+"), r"\1<redacted>"),
    (re.compile(r"\b(?:AKIA|ASIA|AIDA|AROA|ANPA|ABIA|ACCA)[A-Z0-9]{12,}\b"), "<key>"),
    (re.compile(r"(?<![\w.])\d{12}(?![\w.])"), "<account>"),
    (re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"), "<address>"),
    (re.compile(r"(:(?:user|assumed-role|federated-user)/)[\w+=,.@/-]+"), r"\1<caller>"),
)
_SECRET_VARIABLES = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_SECURITY_TOKEN")


class Redaction:
    """
    Takes out what identifies an account or lets somebody in.

    Parameters
    ----------
    words
        Taken out wherever they stand, beside what looks like an account, a key, an address or a caller.

    >>> Redaction(["123456789012"])("arn:aws:iam::123456789012:user/ann asked cdk-x-123456789012-eu-west-1")
    'arn:aws:iam::<redacted>:user/<caller> asked cdk-x-<redacted>-eu-west-1'
    """

    def __init__(self, words: Iterable[str]) -> None:
        self._words = sorted({word for word in words if len(word) >= 4}, key=len, reverse=True)

    @classmethod
    def of_environment(cls, *words: str) -> Redaction:
        """Also of the caller's own keys, where they are in the environment."""
        return cls([*words, *(os.environ.get(name, "") for name in _SECRET_VARIABLES), str(Path.home())])

    def __call__(self, text: str) -> str:
        """The text without them."""
        for word in self._words:
            text = text.replace(word, "<redacted>")
        for pattern, instead in _PATTERNS:
            text = pattern.sub(instead, text)
        return text


class Log:
    """A file that every line is added to at once, redacted: it is whole up to the moment at which something broke."""

    def __init__(self, path: Path, redact: Redaction) -> None:
        self.path, self._redact = path, redact
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("", encoding="utf-8")

    def write(self, *lines: str) -> None:
        """Add lines."""
        with self.path.open("a", encoding="utf-8") as file:
            file.writelines(self._redact(line) + "\n" for line in lines)
