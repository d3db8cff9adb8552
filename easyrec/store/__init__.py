"""The feature store: features defined once, read as they were at any time, and in a millisecond online.

definitions.py  entities, feature views, models: what `store.yaml` says
ui_config.py    its section `ui`: where the store's page is served, and to whom
behaviour.py    what a view of sequences says of its events
streams.py      what they say of events that are counted as they come
duration.py     `30d` and its like
changes.py      what differs between two definitions, and what of it breaks those who read
registry.py     which definitions were applied, one after another
codec.py        rows of a view as packed bytes, and back into columns
events.py       events of a key packed together, and what the compiled reader is told of their sequences
head.py         which generations of its views an online store holds of an entity
online/         stores that are read by key, one file each
journal.py      which keys were changed, as stores write it down for those who follow
offline/        where the rows of views lie over all times, one file per kind of table
duck.py         duckdb: connections, names and times in its SQL
point_in_time.py  training sets: features as they were known at each row's time
training_parts.py  the same by hours, days or months, each a file
spark.py        the same by Spark
replay.py       sequences of training sets: events and moments of a key, one after another through the reader
transforms/     views that are made of other rows, one file per kind
build.py        writes what transforms make
quality/        what is expected of rows, and what becomes of those that are otherwise
writer.py       rows into an online store, and generations that are switched at once
reader.py       all that a model needs of a key, by one question per entity
read_config.py  what a process keeps in memory, and how long it waits
near.py         a store with memory, deadlines and a breaker in front
snapshot.py     all records of an entity in memory, following the store
record_cache.py records that were asked for lately
breaker.py      a store that does not answer is not asked by every request
timings.py      how often and how long
read_log.py     reads that are kept by sample
served.py       what a log of reads or of requests says was served
verify.py       what was served against training sets, with causes
compare.py      columns side by side: where they differ, and how far
"""
