"""From labels of one's own to a data set, its metainfo and a config: ``rlepose init``."""
