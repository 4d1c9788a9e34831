"""`maestro bench healing`: real HTTP servers behind HAProxy under load, faults injected, the whole loop timed."""
