"""Streams: features that are counted as events come, and read as of any moment.

sources/      where events come from, one file each
decode.py     messages into columns, and what is malformed among them
intake.py     which events count: neither late, nor of the future, nor twice
watermark.py  how far event time has come
seen.py       ids of events, for as long as they may come again
counting.py   the fields of a view out of the events of its keys
groups/       what a key's events leave behind, by kind of window
spans.py      which panes count at which times
state/        what was read and what follows from it, changed in one transaction, one file per kind
outbox.py     rows on their way to the online store
letters.py    what could not be read or written, in a file
figures.py    what a stream tells of itself, as JSON and for Prometheus
runner.py     the loop: events in, state and offsets, rows out

timeline.py   events that are kept, and which is the latest of a key before a moment
joiner.py     exposures and what followed them become samples
snapshot.py   features of exposures, as they come
sinks/        where samples go, one file each
joining.py    the loop: events of all kinds in, state and offsets, samples out

dialects/     how engines say things in SQL, one file each
sample_sql.py samples as one statement
view_sql.py   a stream view as one statement
"""
