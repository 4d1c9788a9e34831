"""`maestro discover`: providers in a process of their own; of several instances one runs each source at a time."""
