"""What several unit tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.fake import Fake


@pytest.fixture
def fake() -> Iterator[Fake]:
    one = Fake()
    yield one
    one.server.shutdown()
    one.server.server_close()
    assert not one.answers, "an answer that nobody asked for"
