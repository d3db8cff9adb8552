"""Encoders of texts that run here: transformers of the BERT family from a folder with safetensors and a tokenizer."""
