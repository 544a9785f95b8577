"""Vision encoders: ViT, DINOv2, CLIP."""
