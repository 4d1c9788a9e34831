"""`maestro recommend --serve`: what stands of `recommendations`, for autoscalers to ask.

- `board.py`    pure: records to what stands for each asset
- `server.py`   HTTP: one asset's units, the metrics page, health
- `command.py`  both fed from Kafka, until a signal
"""
