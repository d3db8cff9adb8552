"""Building blocks of models: `mlp`, `fm`, `cross`, activations, sequence encoders; and calibration, which serving uses.

Importing this package loads no torch; neither does `easyrec.modules.calibration`.
"""
