"""What `synapse check` calls the op with: x of 20 columns, a decay for each, the state."""

from synapse_core.ops import StateType
from synapse_core.testing import OpSample

SCAN = OpSample(operands=(20, (1, 20), StateType("memory", "recurrent", 20)))
