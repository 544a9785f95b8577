"""Decoder families: LLaMA and Qwen3."""
