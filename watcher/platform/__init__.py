"""What each system does its own way.

`system` is the one `System` of this process. Everything that a file system does differently on
Windows goes through it; whatever Python already does alike everywhere (`os.lstat`, `os.mkdir`,
`os.read` on a descriptor) is called directly, with paths that went through `System.native` once,
at the wiring. But for what reads the hints, nothing else looks at `sys.platform`.
"""

from __future__ import annotations

import sys

from watcher.platform.protocol import System

if sys.platform == "win32":
    from watcher.platform.windows import Windows as _System
else:
    from watcher.platform.posix import Posix as _System

system: System = _System()

__all__ = ["System", "system"]
