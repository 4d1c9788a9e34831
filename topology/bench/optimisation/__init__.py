"""`maestro bench optimisation`: autoscalers on request traces over one queueing model (`model.py`)."""
