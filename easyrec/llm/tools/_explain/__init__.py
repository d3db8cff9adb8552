"""The parts of `easyrec llm explain`."""
