"""Transforms, and the data set of drawn people."""
