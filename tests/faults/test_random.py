"""Random kills and faults for a while."""

import random
import time

from tests.faults.results import tally
from tests.faults.stage import Stage
from tests.faults.victim import CHANGING, KINDS, How, Plan

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
