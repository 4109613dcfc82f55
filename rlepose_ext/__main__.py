"""``python -m rlepose_ext``: the ``rlepose`` command."""

import sys

from rlepose_ext.cli.main import main

sys.exit(main())
