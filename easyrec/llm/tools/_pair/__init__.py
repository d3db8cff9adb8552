"""What `easyrec llm pair` is made of."""
