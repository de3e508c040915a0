"""The local cloud that the fidelity tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from localcloud.server import Server
from tests.fidelity.cloud import SCALES, Cloud


@pytest.fixture(scope="session")
def cloud() -> Iterator[Cloud]:
    """One local cloud a session: waits 60 times, schedules 1800 times as fast as on AWS."""
    with Server(scales=SCALES) as server:
        yield Cloud(server)
