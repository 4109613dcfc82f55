"""Coordinates: image px, input px, heatmap px, normalised; flips."""
