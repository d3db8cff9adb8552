"""Automatic features: crosses, boundaries, aggregates and hash sizes, proposed with their measured gain and cost."""
