"""`python -m evo.doctor`: the same as `evo doctor`."""

import sys

from evo.doctor.command import main

sys.exit(main())
