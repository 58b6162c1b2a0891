"""The configuration that `watcher init` writes: every key, its default, what it does."""

from __future__ import annotations

_TEXT = r"""# The configuration of `watcher`. Lines with a word right after the `#`, such as
# `#workers: 4`, are settings with their default values: take the `#` away to change them.
# Durations are numbers of seconds, or such as 500ms, 30s, 5m, 24h, 7d.
# Paths stand in 'single quotes', in which a backslash is a backslash.

# What {instrument} stands for in the paths below. Default: this computer's host name.
#instrument: NDXLARMOR

# The folders that are watched. Finished files are taken from every folder below them that is named
# bluesky_scans. Default: $IBEX_BLUESKY_CORE_OUTPUT, to which scans are written@DEFAULT_ROOT@.
data_roots: ['@ROOT@']

# Folders below a data root that are never read, as paths from the data root. Destinations are
# always left out.
#exclude: ['Export only']

# How often all data roots are walked, for whatever the system's hints missed.
#rescan_interval: 60s

# What becomes of a file once every destination has a verified copy: remove, or keep.
#after_archiving: remove

# A file that nobody has touched for so long and that is still writable is reported as stranded: its
# scan died before it could mark it as finished.
#unfinished_after: 24h

# The places that every file must reach. {instrument}, {experiment}, {cycle} and {year} may stand in
# a path. What stands before the first of them (but {instrument}) must be there: it is never made.
destinations:
  # A name for messages: letters, digits, spaces, _ - .
  - name: archive
    path: '@ARCHIVE@'
    # true where others empty the place: copies may vanish there once they were complete.
    #cleaned_by_others: false
    # A file that must be found in the part of the path before the first placeholder; without it,
    # the destination counts as unreachable. It tells a share from the empty folder it belongs on.
    #marker: null
  - name: cache
    path: '@CACHE@'
    cleaned_by_others: true

# The folder that {cycle} stands for: latest is the newest one named cycle_YY_N, or give a name.
#cycle: latest

checksums:
  # sha256, md5 or another name of Python's hashlib; or several: algorithms: [sha256, md5], of which
  # the first counts.
  #algorithm: sha256
  # Where checksums are written: manifest (one file checksums.sha256 for each experiment), sidecar
  # (a file beside each file), stream (in the file's own metadata), or none.
  #record: manifest

# How many files are copied to each destination at the same time, from 1 to 64.
#workers: 4

# How a destination that can't be reached is tried again.
retry:
  # The first wait; each next one is longer, up to the maximum.
  #initial: 1s
  # The longest wait.
  #maximum: 30s
  # A destination with no progress for so long counts as hanging.
  #stalled_after: 30s

# Figures for monitoring.
metrics:
  # A .prom file that is written for node_exporter or windows_exporter: '@PROM@'
  #textfile: null
  # An address of this computer on which Prometheus can ask: 127.0.0.1:9464
  #http: null

# The folder for the ledger, the lock, the status and the logs. Default: @STATE@.
#state_dir: null

log:
  # The least that is logged: debug, info, warning or error.
  #level: info
  # text for people, json for programs.
  #format: text
  # The log file. Default: watcher.log in the state folder, a new one at midnight.
  #file: null
  # How many old log files are kept.
  #keep: 30
"""

_SHARE = r"\\isis.cclrc.ac.uk\inst$\{instrument}\Instrument\data"
_WINDOWS = {
    "@DEFAULT_ROOT@": r", else C:\Data",
    "@ROOT@": r"C:\Data",
    "@ARCHIVE@": _SHARE + r"\{cycle}\autoreduced\bluesky_scans\{experiment}",
    "@CACHE@": r"C:\Data\Export only\{experiment}\bluesky_scans",
    "@PROM@": r"C:\Program Files\windows_exporter\textfile_inputs\watcher.prom",
    "@STATE@": r"%ProgramData%\watcher, one for all users",
}
_POSIX = {
    "@DEFAULT_ROOT@": "",
    "@ROOT@": "/data",
    "@ARCHIVE@": "/mnt/archive/{instrument}/{cycle}/autoreduced/bluesky_scans/{experiment}",
    "@CACHE@": "/data/Export only/{experiment}/bluesky_scans",
    "@PROM@": "/var/lib/node_exporter/watcher.prom",
    "@STATE@": "~/.local/state/watcher",
}


def commented(windows: bool) -> str:
    """Write a configuration to start from.

    Args:
        windows: whether its paths are those of Windows.

    """
    text = _TEXT
    for mark, words in (_WINDOWS if windows else _POSIX).items():
        text = text.replace(mark, words)
    return text
