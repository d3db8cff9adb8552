"""The parts of `easyrec llm augment`."""
