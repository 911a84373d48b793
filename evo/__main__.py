"""`python -m evo`, and the command `evo`: the same."""

import sys


def main() -> int:
    """Run the command line, with a clear error if another project's package of this name is in its way.

    Returns:
        The exit status.
    """
    try:
        from evo.cli import main as run
    except ImportError:
        from evo.versions import other_evo, other_evo_advice

        if found := other_evo():
            print(f"evo: error: {found}, has overwritten files of evo: {other_evo_advice()}", file=sys.stderr)
            return 2
        raise
    return run()


if __name__ == "__main__":
    sys.exit(main())
