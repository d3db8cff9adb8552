"""The read server of a feature store: columns by ids over HTTP and gRPC, by the rules and with the parts of `serving.server`.

config.py       section `serve` of store.yaml
run.py          from a config to running processes
service.py      the readers, and the way of a question through them
question.py     what is asked and answered, in JSON and Arrow
endpoints.py    the paths
grpc_server.py  the same over gRPC
worker.py       one process

Importing this package loads neither uvicorn nor torch.
"""
