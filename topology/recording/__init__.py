"""What is recorded and played back: replay lines, the machines they are addressed to, and the export of a live log.

- `lines.py`     a line to what is to be done, an emission to a line
- `machines.py`  partitions of layers that lines are addressed to
- `broker_log.py` topics read whole, as they are
- `export.py`    topics and journal of a live system to lines
"""
