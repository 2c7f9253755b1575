"""The protected laboratory with real guests: LAB_VIRT=libvirt make test TESTS=tests/guests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster.conftest import calm  # noqa: F401
from tests.lab.common import LIBVIRT, virt
from tests.lab.up import laboratory


@pytest.fixture(scope="session")
def lab() -> Iterator[None]:
    with laboratory():
        if virt() != LIBVIRT:
            pytest.exit("the guests of this laboratory are stand-ins; take it down, and run: "
                        "LAB_VIRT=libvirt make test TESTS=tests/guests", 1)
        yield
