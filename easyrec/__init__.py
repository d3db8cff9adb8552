"""easyrec: one YAML trains, evaluates, exports and serves a recommendation model."""
