"""The server: bundles behind HTTP. Plain ASGI on uvicorn; the extra `serving` brings what it needs.

    config.py       serving.yaml
    run.py          from a config to running processes
    app.py          the ASGI application: routes, errors, metrics
    endpoints/      one file per family of paths
    models.py       what is served: models, their versions, swaps
    admission.py    the queue, the deadline and the threads that score
    metrics.py      counters and histograms as Prometheus reads them

Importing this package loads neither uvicorn nor torch.
"""
