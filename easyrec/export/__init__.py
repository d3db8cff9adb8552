"""Export: a trained model as a bundle. `bundle`, `manifest`, `warmup` and `scoring` know no torch."""
