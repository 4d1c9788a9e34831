"""The sides of `maestro bench telemetry`, each the main program of a process: MODULE BROKER WORKLOAD APP_ID FOLDER.

A peer's module imports nothing of the product but `topology.bench.work`, which needs numpy, numba and fastavro only: it
can be run by the Python of another virtual environment.
"""
