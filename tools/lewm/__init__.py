"""Trains a LeWorldModel in the plugin's own worlds."""
