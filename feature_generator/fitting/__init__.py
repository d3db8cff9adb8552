"""What features learn from data: sketches that merge, and the files that hold what was learned.

    fitting = fit("config.yaml", batches, label="click")
    fitting.learned().write("config.fitted")

Of `fit`, `sketches` and below; a sketch is one file. All of them read blocks of rows, merge with those of other
shards, and need bounded memory, whatever the number of rows.
"""
