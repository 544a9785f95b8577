"""Decoder families: LLaMA, Mistral, Qwen, Phi and Gemma."""
