"""`maestro bench discovery`: how soon a change in a source is told, and what many assets of one source cost."""
