"""Pages: what was printed where, as blocks in reading order. It knows spans and rules, and not where they come from."""
