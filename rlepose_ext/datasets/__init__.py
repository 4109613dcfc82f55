"""Transforms, PoseFix's data set, and that of drawn people."""
