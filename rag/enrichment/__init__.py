"""What a model says of chunks, put beside them so that they are found better: questions, summaries, entities, trees."""
