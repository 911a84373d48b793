"""What only the completion record of a study holds."""

from __future__ import annotations

from typing import Any

import msgspec


class RecordedTests(msgspec.Struct, frozen=True):
    """The part of summary.json that the journals do not hold.

    Args:
        test: Metrics of the best individual on held-out data; empty if it was not tested.
        tests: With several objectives, the same of all tested individuals of the front by their names.
    """

    test: dict[str, Any]
    tests: dict[str, dict[str, Any]] = {}
