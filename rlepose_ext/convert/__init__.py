"""Checkpoints of other projects under MMPose's names."""
