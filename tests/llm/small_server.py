"""A server of a small language model, as a program: it says where it listens, and ends with its standard input.

python small_server.py MODEL.gguf
"""

import sys

import xllamacpp

params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.hostnames, params.port = ["127.0.0.1"], 0
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 2
params.n_parallel, params.n_ctx = 1, 4096
params.endpoint_slots = params.endpoint_metrics = True
server = xllamacpp.Server(params)
print(f"listening at {server.listening_address}", flush=True)
sys.stdin.read()
