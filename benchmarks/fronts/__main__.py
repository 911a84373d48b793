"""`python -m benchmarks.fronts`; see `command`."""

import sys

from benchmarks.fronts.command import main

sys.exit(main())
