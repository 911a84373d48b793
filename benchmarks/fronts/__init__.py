"""How well evo finds fronts of several objectives, beside its peers: `python -m benchmarks.fronts --help`."""

import os

# Before anything loads numpy; see benchmarks/quality/__init__.py.
for _library in ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "VECLIB_MAXIMUM"):
    os.environ.setdefault(f"{_library}_NUM_THREADS", "1")
