"""LeWorldModel, a world model from pixels, for Synapse."""
