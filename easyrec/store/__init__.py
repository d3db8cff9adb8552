"""The feature store: features defined once, read as they were at any time, and in a millisecond online.

definitions.py  entities, feature views, models: what `store.yaml` says
streams.py      what they say of events that are counted as they come
duration.py     `30d` and its like
changes.py      what differs between two definitions, and what of it breaks those who read
registry.py     which definitions were applied, one after another
codec.py        rows of a view as packed bytes, and back into columns
head.py         which generations of its views an online store holds of an entity
online/         stores that are read by key, one file each
offline/        where the rows of views lie over all times, one file per kind of table
point_in_time.py  training sets: features as they were known at each row's time
writer.py       rows into an online store, and generations that are switched at once
reader.py       all that a model needs of a key, by one question per entity
"""
