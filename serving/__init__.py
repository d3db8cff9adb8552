"""Serving: the predictor that answers what was trained."""
