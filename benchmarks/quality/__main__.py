"""`python -m benchmarks.quality`; see `command`."""

import sys

from benchmarks.quality.command import main

sys.exit(main())
