"""What flows: the records of every topic, and how they are written down.

records/         the records as pydantic models            avro/       their Avro schemas, the source of the wire
codec.py         records to bytes and back, three wires    released/   frozen (`python -m schemas.compatibility`)
samples.py       health signals straight to columns        examples/   golden messages (`python -m schemas.golden`)
cloudevents.py   headers of output messages                errors.py   why a message was refused, with stable codes

To add a field: the record, the .avsc (with `default` and `doc`), `python -m schemas.golden --write`.
"""
