"""Annotation files: what is known of data sets, checks, converters to COCO json. No torch."""
