"""The backend keeps the contract of all backends."""

import pytest
from synapse_backend_cpu.backend import CpuBackend

from synapse_core.testing import BackendContract


class TestCpuBackend(BackendContract):
    @pytest.fixture
    def backend(self):
        return CpuBackend()
