"""The contract of a backend, as tests. Inherit it, give a `backend` fixture, run pytest.

class TestMyBackend(BackendContract):
    @pytest.fixture
    def backend(self):
        return MyBackend()
"""

from __future__ import annotations

import pytest

from synapse_core.backends import Backend
from synapse_core.testing.agreement import (
    INT8_TOLERANCE,
    RELATIVE_TOLERANCE,
    STEP_TOLERANCE,
    feed,
    same_bits,
    tolerance_of,
    worst_error,
)
from synapse_core.testing.case import Case
from synapse_core.testing.contracts import backend as contracts
from synapse_core.testing.contracts import backend_pages
from synapse_core.testing.contracts.backend import CORPUS, TOYS

__all__ = [
    "CORPUS",
    "INT8_TOLERANCE",
    "RELATIVE_TOLERANCE",
    "STEP_TOLERANCE",
    "TOYS",
    "BackendContract",
    "feed",
    "same_bits",
    "tolerance_of",
    "worst_error",
]


class BackendContract:
    """What every backend must do."""

    @pytest.fixture
    def backend(self) -> Backend:
        """Return the backend under test."""
        raise NotImplementedError("a BackendContract needs a `backend` fixture")

    @pytest.mark.parametrize("case", CORPUS, ids=lambda case: case.name)
    def test_op_matches_its_reference(self, backend: Backend, case: Case) -> None:
        """Every op gives what its numpy reference gives in the same arithmetic."""
        contracts.require_op_like_reference(backend, case)

    @pytest.mark.parametrize("case", TOYS, ids=lambda case: case.name)
    def test_model_matches_numpy(self, backend: Backend, case: Case) -> None:
        """Whole models agree with the reference run of their graph."""
        contracts.require_model_like_numpy(backend, case)

    @pytest.mark.parametrize("case", TOYS, ids=lambda case: case.name)
    def test_threads_do_not_change_a_bit(self, backend: Backend, case: Case) -> None:
        """One thread, two and three give the same bits."""
        contracts.require_same_bits_on_threads(backend, case)

    @pytest.mark.parametrize("format", contracts.BATCHED_FORMATS)
    def test_batched_equals_alone(self, backend: Backend, format: str) -> None:
        """A slot gets the same bits beside others as alone, in chunks as in one call."""
        contracts.require_batched_like_alone(backend, format)

    def test_copied_state_goes_on_alike(self, backend: Backend) -> None:
        """A copied slot continues as the original does, and neither disturbs the other."""
        contracts.require_copied_state_goes_on(backend)

    @pytest.mark.parametrize("kv", contracts.KV_TYPES)
    def test_saved_state_goes_on_alike(self, backend: Backend, kv: str) -> None:
        """A slot that is loaded goes on as the one that was saved, whatever else there was."""
        contracts.require_saved_state_goes_on(backend, kv)

    def test_smaller_position_truncates(self, backend: Backend) -> None:
        """Going back to a position forgets what came after."""
        contracts.require_smaller_position_truncates(backend)

    def test_shared_pages_are_copied_before_they_are_written(self, backend: Backend) -> None:
        """Slots that share pages give the bits of slots that computed all by themselves."""
        backend_pages.require_shared_pages_apart(backend)

    def test_pages_run_out_by_name(self, backend: Backend) -> None:
        """With all pages in use nothing runs, and a released one serves again."""
        backend_pages.require_pages_run_out_by_name(backend)

    @pytest.mark.parametrize("name", contracts.BAD_CALLS)
    def test_bad_call_is_refused(self, backend: Backend, name: str) -> None:
        """A call that breaks a rule is a UsageError, and the session lives on."""
        contracts.require_bad_call_refused(backend, contracts.BAD_CALLS[name], name)
