"""A page to look at a feature store: `easyrec store ui`.

state.py   what is known of the store at this moment
pages.py   that as HTML: no script but the one of the lineage, every text escaped by the tree it is in
app.py     the ASGI application: who may look, and at what
run.py     from a config to a running server
"""
