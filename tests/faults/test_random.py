"""Random kills for a while, two watchers on one root, and many faults in one life."""

import random
import threading
import time

from tests.faults.results import said, tally
from tests.faults.stage import Stage
from tests.faults.victim import CHANGING, KINDS, How, Plan
from tests.harness import Instrument, files_below
from tests.rules.evidence import MANIFEST, check_with_coreutils, leftovers

SECONDS = 60
KILLS = 200


def test_R5_random_kills_and_faults(crews, arena):
    """R5: killed and failed anywhere, again and again, with files coming all the time."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    dice, crew = random.Random(seed), crews[0]
    kills = faults = files = 0
    deadline = time.monotonic() + SECONDS
    with Stage(crew, arena) as stage:
        stage.ready()
        while time.monotonic() < deadline or kills < KILLS or files < 500:
            for _ in range(dice.randrange(5)):
                stage.finish(f"{files % 7}/{files}.dat", dice.randbytes(dice.randrange(1, 40000)))
                files += 1
            how = dice.choice([How.KILL_AFTER, How.KILL_BEFORE, How.KILL_HALFWAY, How.FAIL_ONCE])
            kinds = frozenset(CHANGING if dice.random() < 0.8 else KINDS)
            run = stage.rescan(Plan(how, dice.randrange(1, 350), dice.choice([5, 28, 13]), kinds))
            kills += run.was_killed
            faults += bool(run.struck) and not run.was_killed
            verdict = stage.now()
            assert verdict, f"seed {seed}, after {kills} kills: {verdict}\n{run.struck}"
        assert (end := stage.end()), f"seed {seed}: {end}"
    note = f"{kills} kills, {faults} errors, {files} files, seed {seed}"
    tally("random", kills + faults, note=note)
    assert kills >= KILLS


def test_R3_two_watchers_on_one_root(tmp_path):
    """R3, R4: two with different state folders on one root: one winner a file, nothing partial."""
    rounds, partial, seen = 1000, [], set()
    with Instrument(tmp_path, rescan_interval="1s") as one, Instrument(tmp_path / "b") as other:
        other.root, other.share, other.cache = one.root, one.share, one.cache
        other.configure(rescan_interval="1s")
        wanted = {f"{n % 9}/{n}.dat": b"%d " % n * 2000 for n in range(rounds)}
        ended = threading.Event()

        def read():
            while not ended.is_set():
                for top in (one.archive / "RB1", one.cache / "RB1" / "bluesky_scans"):
                    for name, path in files_below(top).items() if top.is_dir() else ():
                        if name in wanted and path not in seen:
                            seen.add(path)
                            if path.read_bytes() != wanted[name]:
                                partial.append(str(path))

        reader = threading.Thread(target=read)
        reader.start()
        try:
            one.start()
            other.start()
            for name, content in wanted.items():
                one.finish(f"RB1/bluesky_scans/{name}", content)
            one.wait_until(lambda: not one.sources(), 60)
            one.stop()
            other.stop()
        finally:
            ended.set()
            reader.join()
        wrong = list(partial)
        for folder in (one.archive / "RB1", one.cache / "RB1" / "bluesky_scans"):
            found = {n: p.read_bytes() for n, p in files_below(folder).items() if n != MANIFEST}
            wrong += [n for n in wanted if found.get(n) != wanted[n]]
            wrong += [n for n in found if n not in wanted]
            check_with_coreutils(folder)
        wrong += leftovers(one)
    tally("race", rounds, len(wrong))
    assert not wrong, said(wrong)
