"""An attention without keys: values fade as new ones come, queries gate what is read."""

import attrs
import numpy as np

from synapse_core.ops import StateType


@attrs.frozen
class DecayAttention:
    """y = o(sigmoid(q) · scan(v)), with decays spread evenly from 0.5 to 0.99."""

    width: int

    def build(self, g, x, w):
        """Add it to the function that `g` builds, below the weights of `w`."""
        width = self.width
        q = g.linear(x, w.matrix("q.weight", width, x.type.cols))
        v = g.linear(x, w.matrix("v.weight", width, x.type.cols))
        decay = g.graph.constant("acme.decay", np.linspace(0.5, 0.99, width, dtype=np.float32))
        state = g.graph.state(StateType(w.name("memory"), "recurrent", width))
        read = g.op(
            "mul", g.op("activation", q, kind="sigmoid"), g.op("acme.scan", v, decay, state)
        )
        return g.linear(read, w.matrix("o.weight", x.type.cols, width))
