"""The parts of `easyrec llm profile`."""
