"""Advice: what a config, its data, a profile, a run and a search say against each other, and the settings that mend it."""
