"""8-bit integers: fake quantisation to train with, calibration, integer tables and their runner."""
