"""How well evo searches, beside its peers: `python -m benchmarks.quality --help`."""

import os

# Before anything loads numpy: a library that spreads tiny matrices over all cores is slower, and disturbs other runs.
for _library in ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "VECLIB_MAXIMUM"):
    os.environ.setdefault(f"{_library}_NUM_THREADS", "1")
