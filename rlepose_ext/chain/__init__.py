"""Trainings in a row, each from weights of the one before."""
