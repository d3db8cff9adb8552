"""The parts of `easyrec llm rerank`."""
