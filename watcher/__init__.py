"""Takes finished scan files from an instrument to where they are safe.

One flow, left to right; a room (a module or a package) knows only what stands below it:

    sources/observer ── hint ──┐
                               ├─ intake ─> backlog ─> worker ─> transfer ─> receipt ─> settling
    sources/rescan ── finding ─┘                          │                      │
                                                      activity ─> views       ledger

    cli          one file a command, wiring only
    inquiry      what would happen, and what became of a file: answers without a watcher
    report       what a watcher last said of itself, told from another console
    resolution   what a person decides of a file that waits for that
    verification whether the copies still are what was recorded
    diagnosis    everything that could go wrong at the next boot
    trial        a test file that goes all the way through
    daemon       puts the parts together; the order of starting and stopping
    monitor      looks how everything is: soon after something happened, rarely while nothing does
    wiring       from the configuration to destinations and data roots
    lock         one watcher a state folder
    config       YAML to frozen models; no room below sees them
    sources      observer (hints), rescan (the walk) and its rounds, intake (both become a backlog),
                 vanished (what leaves it without being archived)
    worker       a lane of threads for each destination: take, transfer, receipt
    views        dashboard, log, status, check, metrics: printers of one snapshot
    startup      starting at log-on
    tally        how much there is to do, counted where it is on record
    settling     the end of a file: all receipts in, source moved into place or removed
    backlog      bounded, ordered, one entry a file version
    transfer     one batch of files to one destination, up to the checksum record
    reach        whether a destination can be used, and which cycles stand there
    space        how much room the instrument's own disk has, and how long it lasts
    outage       the state of a destination, and what to do about an error
    ledger       SQLite: receipts, cycles of waiting files, reasons
    activity     news through one sink, folded into a snapshot
    inspection   path and stat to a finished file, or the reason why not
    destination  where a file goes: templates, cycles, conflict names
    checksums    algorithms and records
    header       what a scan's text file says of its scan
    platform     what each system does its own way
    errors       what an operator reads
    model        the words of the contract as frozen types
"""

__version__ = "0.1.0"
