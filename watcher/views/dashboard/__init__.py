"""The dashboard: a pure drawing of a snapshot, and a loop that shows it."""

from watcher.views.dashboard.frame import render
from watcher.views.dashboard.live import run_dashboard
from watcher.views.dashboard.summary import summary

__all__ = ["render", "run_dashboard", "summary"]
