"""The ``rlepose`` command: argument parsing only."""
