"""What pairs come to, and a neighbour that is gone afterwards whatever happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pairs
import pytest
from neighbour import neighbour


def gone(process: int) -> bool:
    """Whether it has ended; one that nobody has waited for yet has."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    state = Path(f"/proc/{process}/stat")
    return state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z"


def pair(ours: dict, **peers: dict) -> dict:
    return {"synapse": ours, "peers": peers}


def test_a_ratio_is_that_of_a_pair_and_the_peer_counts_with_its_better_setting():
    made = pairs.figures(
        [
            pair({"decode_tok_s": 20.0}, off={"decode_tok_s": 10.0}, on={"decode_tok_s": 50.0}),
            pair({"decode_tok_s": 30.0}, off={"decode_tok_s": 20.0}, on={"decode_tok_s": 5.0}),
            pair({"decode_tok_s": 60.0}, off={"decode_tok_s": 20.0}, on={"decode_tok_s": 6.0}),
        ]
    )
    assert made == [
        {
            "measure": "decode_tok_s",
            "ours": {"median": 30.0, "least": 20.0, "most": 60.0},
            "theirs": {"median": 20.0, "least": 10.0, "most": 20.0},
            "setting": "off",
            "ratio": {"median": 2.0, "least": 1.5, "most": 3.0},
        }
    ]


def test_of_loading_less_is_better():
    made = pairs.figures([pair({"load_s": 1.0}, off={"load_s": 2.0}, on={"load_s": 4.0})])
    assert made[0]["setting"] == "off"
    assert made[0]["ratio"]["median"] == 0.5


def test_what_is_made_of_a_speed_has_the_setting_of_the_speed():
    key = "decode_tok_s_over_one_thread"
    ours = {"decode_tok_s": 1.0, key: 1.0}
    off, on = {"decode_tok_s": 2.0, key: 1.0}, {"decode_tok_s": 1.0, key: 4.0}
    assert [f["setting"] for f in pairs.figures([pair(ours, off=off, on=on)])] == ["off", "off"]


def test_a_measure_that_the_peer_lacks_has_no_ratio():
    made = pairs.figures([pair({"decode_4_slots_tok_s": 8.0}, off={})])
    assert made == [
        {
            "measure": "decode_4_slots_tok_s",
            "ours": {"median": 8.0, "least": 8.0, "most": 8.0},
        }
    ]


def test_the_neighbour_is_gone_after_a_failure():
    seen = []

    def fail() -> None:
        with neighbour() as process:
            seen.append(process)
            os.kill(process, 0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert gone(seen[0])


def test_the_neighbour_ends_with_a_parent_that_is_killed():
    code = (
        "import time\nfrom neighbour import neighbour\n"
        "with neighbour() as process:\n    print(process, flush=True)\n    time.sleep(60)\n"
    )
    folder = str(Path(pairs.__file__).parent)
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": folder},
    ) as parent:
        assert parent.stdout
        process = int(parent.stdout.readline())
        os.kill(process, 0)
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 30
    while not gone(process) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert gone(process)
