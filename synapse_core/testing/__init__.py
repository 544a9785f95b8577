"""The conformance kit: contracts as tests, and the corpus they run on."""

from synapse_core.testing.backend_kit import BackendContract, same_bits, worst_error
from synapse_core.testing.case import Call, Case, fill_weights, finder, rows
from synapse_core.testing.corpus import corpus
from synapse_core.testing.toys import (
    causal_decoder,
    image_encoder,
    recurrent_scan,
    toys,
    two_towers,
    window_predictor,
)

__all__ = [
    "BackendContract",
    "Call",
    "Case",
    "causal_decoder",
    "corpus",
    "fill_weights",
    "finder",
    "image_encoder",
    "recurrent_scan",
    "rows",
    "same_bits",
    "toys",
    "two_towers",
    "window_predictor",
    "worst_error",
]
