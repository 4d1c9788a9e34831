"""`maestro bench optimisation`: autoscalers on real request traces over one queueing model; see `model.py` and `run.py`."""
