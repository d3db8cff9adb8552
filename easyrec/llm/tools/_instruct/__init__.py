"""The parts of `easyrec llm instruct`."""
