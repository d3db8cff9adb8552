"""FeatureGenerator: raw columns to model inputs, with the same compiled code offline and online."""
