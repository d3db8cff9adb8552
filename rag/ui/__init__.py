"""A page for people over the HTTP interface of `rag.server`, so that keys and access hold in one place.

config.py   section `ui` of rag.yaml
api.py      asks the server
shown.py    what it answers as HTML, every text of it escaped
page.py     the tabs, in Gradio
run.py      from a config to a running page

Importing this package loads neither gradio nor httpx.
"""
