"""Training: the loop, its checkpoints, and what a run leaves behind. `easyrec.train(...)` is `api.train`."""
