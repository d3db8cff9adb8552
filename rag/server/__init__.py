"""Knowledge bases over HTTP: their documents, searches, and answers in the form that clients of language models know.

config.py     section `server` of rag.yaml
refused.py    errors, as such clients read them
users.py      who asks, by the key of the request, and what they may do
quotas.py     how much of it
gate.py       what holds for every request: its id, its key, its bounds, its count
uploads.py    files that come, straight to the disk
tasks.py      what is to become of them, in a database
ingesting.py  the thread that does it
shelf.py      the knowledge bases that are open, and their settings
asking.py     the way of a question to its answer
pictures.py   pages with places marked
routes/       the paths, one file per family
app.py, run.py  from a config to a running server

Importing this package loads neither starlette nor uvicorn.
"""
