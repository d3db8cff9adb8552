"""What `easyrec llm embed` is made of.

reduction.py   fewer numbers of each vector: principal components, or the first ones
history.py     what users took last
kept.py        vectors that were made before
spending.py    what was paid, also by runs that were killed
near.py        statistics of the nearest known items
output.py      tables of vectors
into_store.py  such tables as embedding views of the feature store
"""
