"""What flows: the records of the contract, their Avro schemas and the codec. Imports nothing of ours."""
