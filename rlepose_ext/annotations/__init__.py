"""Annotation files: what is known of data sets, checks, converters. No torch."""
