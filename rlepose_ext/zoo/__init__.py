"""What configs there are, what is known of them, their public weights.

Nothing here imports torch, apart from ``counting``.
"""

from rlepose_ext.zoo.lookup import find
from rlepose_ext.zoo.metafiles import Entry, read_zoo

__all__ = ['Entry', 'find', 'read_zoo']
