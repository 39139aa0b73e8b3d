"""Methods of analysis on batches: embeddings, topics, drift, groundedness, and their runs."""
