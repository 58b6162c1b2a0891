"""Printers of one state: each shows the snapshot of `activity` its own way, and owns nothing."""
