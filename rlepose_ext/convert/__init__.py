"""Checkpoints of other projects, mapped to MMPose's key names."""
