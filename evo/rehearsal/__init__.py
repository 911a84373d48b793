"""Everything but the search: `evo check`."""
