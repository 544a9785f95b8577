"""RWKV-7: a language model whose memory is a state of fixed size."""
