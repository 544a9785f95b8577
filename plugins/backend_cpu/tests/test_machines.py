"""The runtime keeps the contract of all backends on wasm32, rv32 and aarch64."""

import pytest

from synapse_core.testing import BackendContract


@pytest.mark.portable
class TestEmulatedBackend(BackendContract):
    @pytest.fixture
    def backend(self, emulated):
        return emulated
