"""One study: its settings, its plan, its session, its end."""
