"""Lineage, column by column: source table -> view -> feature -> input of a model -> version -> endpoint.

graph.py        nodes, edges, and what is asked of them: upstream, downstream, impact
query.py        which columns a query reads for each of its own
views.py        the views of a store
models.py       experiments and bundles
endpoints.py    what servers answer with
build.py        all of these in one graph
openlineage.py  the graph as events of OpenLineage
page.py         the graph as a page
"""
