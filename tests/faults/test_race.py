"""Two who want the same: one winner a name, both contents kept, no reader sees half (R3, R4)."""

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor

from tests.faults.results import said, tally
from tests.faults.stage import EXPERIMENT, Stage
from tests.faults.victim import Victims
from tests.harness import Instrument, files_below
from tests.rules.evidence import MANIFEST, SCANS, check_with_coreutils, leftovers

ROUNDS = 1000


@contextlib.contextmanager
def polled(folders, possible):
    """Read each file as soon as it is there; yields what was none of what is possible."""
    partial, seen, ended = [], set(), threading.Event()

    def read():
        while not ended.is_set():
            for folder in folders:
                for name, path in files_below(folder).items() if folder.is_dir() else ():
                    if name in possible and path not in seen:
                        with contextlib.suppress(PermissionError):  # Windows: it is being moved
                            content = path.read_bytes()
                            seen.add(path)
                            if content not in possible[name]:
                                partial.append(str(path))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield partial
    finally:
        ended.set()
        reader.join()


def test_R3_two_watchers_on_one_root(tmp_path):
    """R3, R4: with different state folders: one winner a file, nothing partial, nothing double."""
    with Instrument(tmp_path, rescan_interval="1s") as one, Instrument(tmp_path / "b") as other:
        other.root, other.share, other.cache = one.root, one.share, one.cache
        other.configure(rescan_interval="1s")
        wanted = {f"{n % 9}/{n}.dat": b"%d " % n * 2000 for n in range(ROUNDS)}
        places = [one.archive / EXPERIMENT, one.cache / EXPERIMENT / SCANS]
        with polled(places, {name: {content} for name, content in wanted.items()}) as partial:
            one.start()
            other.start()
            for name, content in wanted.items():
                one.finish(f"{EXPERIMENT}/{SCANS}/{name}", content)
            one.wait_until(lambda: not one.sources(), 120)
            one.stop()
            other.stop()
        wrong = list(partial)
        for folder in places:
            found = {n: p.read_bytes() for n, p in files_below(folder).items() if n != MANIFEST}
            wrong += [n for n in wanted if found.get(n) != wanted[n]]
            wrong += [n for n in found if n not in wanted]
            check_with_coreutils(folder)
        wrong += leftovers(one)
    tally("race", ROUNDS, len(wrong))
    assert not wrong, said(wrong)


def test_R4_two_publishers_want_one_name(crew, library, arena):
    """R3, R4: two instruments, one archive, the same names, other contents: both are kept."""
    names = [f"{number}.dat" for number in range(ROUNDS)]
    with Victims(library) as second, Stage(crew, arena) as one, Stage(second, arena) as other:
        other.instrument.share, other.instrument.archive = (
            one.instrument.share,
            one.places["archive"].parent,
        )
        other.instrument.configure(workers=2)
        stages = {b"one": one, b"other": other}
        possible = {name: set() for name in names}
        for word, stage in stages.items():
            for name in names:
                content = word + b" %s" % name.encode() * 500
                possible[name].add(content)
                stage.finish(name, content)
        folder = one.places["archive"]
        with polled([folder], possible) as partial, ThreadPoolExecutor(2) as pool:
            runs = list(pool.map(lambda stage: stage.rescan(seconds=120), stages.values()))
        wrong = partial + [run.output for run in runs if run.code]
        found = {n: p.read_bytes() for n, p in files_below(folder).items() if n != MANIFEST}
        wrong += [name for name in names if found.get(name) not in possible[name]]
        every = {content for contents in possible.values() for content in contents}
        if len(found) != len(every) or set(found.values()) != every:
            wrong.append(f"{len(found)} files for {len(every)} contents")
        won = sum(found.get(name, b"").startswith(b"one") for name in names)
        check_with_coreutils(folder)
        wrong += leftovers(one.instrument)
    tally("race", ROUNDS, len(wrong), note=f"{won} to {ROUNDS - won}")
    assert not wrong, said(wrong)
