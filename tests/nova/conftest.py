"""The protected laboratory, as tests/cluster has it."""

from tests.cluster.conftest import calm, lab, stays_off  # noqa: F401
