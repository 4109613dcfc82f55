"""Preparing data sets: what is known of them, checks, and converters. No registry, no torch."""
