"""The heart: the body's loop, the journal, the run."""
