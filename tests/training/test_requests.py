"""What input_fn makes of a body, however the container hands it over."""

from __future__ import annotations

import pytest

from training.serving import Refused, Request, input_fn

NO_UTF8 = b'{"instances": [{"note": "caf\xe9"}]}'


@pytest.mark.parametrize("body", [NO_UTF8, NO_UTF8.decode(errors="replace")])
def test_bytes_that_are_no_utf8_are_refused_whoever_decoded_them(body: bytes | str) -> None:
    assert input_fn(body, "application/json") == Refused(400, "the body must be UTF-8 text. It isn't at character 28.")


@pytest.mark.parametrize("body", ["a,b\n1,2\n".encode("utf-8-sig"), "\ufeffa,b\n1,2\n"])
def test_a_byte_order_mark_belongs_to_no_column(body: bytes | str) -> None:
    assert input_fn(body, "text/csv") == Request(({"a": "1", "b": "2"},), is_text=True)
