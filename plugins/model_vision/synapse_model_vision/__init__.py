"""Vision encoders: ViT."""
