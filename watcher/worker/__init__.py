"""Lanes: the threads that take files from the backlog to a destination, and those that settle.

desk      what all lanes share, and what becomes of a file that fails
lane      the threads of one destination
settling  the thread that ends files which every destination holds

A lane's threads do the same: wait until the destination is usable, take a batch, transfer it,
write the receipts. The first thread of a lane leaves large files to the others, so that they
never hold up small ones.
"""

from watcher.worker.desk import Desk
from watcher.worker.lane import Lane
from watcher.worker.settling import SettlingLane

__all__ = ["Desk", "Lane", "SettlingLane"]
