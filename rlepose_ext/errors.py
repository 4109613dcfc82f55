"""The exception for mistakes in the user's input."""

__all__ = ['UserError']


class UserError(Exception):
    """Bad input, with a remedy.

    The ``rlepose`` command prints the message in one paragraph and exits with
    status 2. The message says what was expected, what came, in which file, and
    what to do.
    """
