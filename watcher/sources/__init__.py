"""Where files are noticed: hints from the system, and the walk that doesn't need them."""
