"""Language models: a client of their servers, encoders that run here, and what they do for recommendation."""
