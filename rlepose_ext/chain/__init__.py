"""Trainings in a row: each stage starts from weights of the one before."""
