"""When threads stop spinning at a barrier and spin again, and how many take part in a call."""

from __future__ import annotations

import cffi
import pytest
from synapse_backend_cpu.native import recipe

from .kernel_harness import compile_c

SOURCE = """
#define _GNU_SOURCE
#include "team.h"
static syn_patience patience;
static syn_team team;
void begin(void);
void begin(void) { syn_begin_patience(&patience); syn_begin_team(&team); }
int wait_once(uint32_t turn, uint64_t slept_ns, uint64_t op_ns);
int wait_once(uint32_t turn, uint64_t slept_ns, uint64_t op_ns) {
    uint64_t slept = syn_now_ns() - slept_ns;
    return syn_learn(&patience, turn, slept - op_ns, slept);
}
uint32_t size(uint32_t threads, uint64_t now);
uint32_t size(uint32_t threads, uint64_t now) { return syn_team_size(&team, threads, now); }
void leave_out(uint64_t now);
void leave_out(uint64_t now) { syn_leave_out(&team, now); }
uint32_t spins(uint32_t turn);
uint32_t spins(uint32_t turn) { return syn_spins(&patience, turn); }
"""
MS = 1_000_000
LONG, SHORT, WARM, NEAR, LEAST, MOST = 3000, 30, 512, 256, 512, 2048
LEAST_PAUSE, MOST_PAUSE = 200 * MS, 1600 * MS


@pytest.fixture(scope="module")
def rule(tmp_path_factory):
    folder = tmp_path_factory.mktemp("patience")
    source = folder / "rule.c"
    source.write_text(SOURCE)
    to = folder / "rule.so"
    compile_c([source], to, "-shared", "-fPIC", f"-I{recipe.HOST}")
    ffi = cffi.FFI()
    ffi.cdef("void begin(void); int wait_once(uint32_t, uint64_t, uint64_t);")
    ffi.cdef("uint32_t size(uint32_t, uint64_t); void leave_out(uint64_t);")
    ffi.cdef("uint32_t spins(uint32_t);")
    return ffi.dlopen(str(to))


@pytest.fixture(autouse=True)
def fresh(rule):
    rule.begin()
    assert rule.spins(0) == LONG


def in_vain(rule, *turns):
    """Waits of 20 ms behind ops of 0.1 ms."""
    for turn in turns:
        rule.wait_once(turn, 20 * MS, MS // 10)


def test_two_long_sleeps_close_together_end_the_spinning_for_a_while(rule):
    assert not rule.wait_once(5000, 20 * MS, MS // 10)
    assert rule.spins(5001) == LONG
    assert rule.wait_once(5010, 20 * MS, MS // 10)
    assert {rule.spins(turn) for turn in (5011, 5010 + LEAST - 1)} == {SHORT}
    assert rule.spins(5010 + LEAST) == LONG


def test_sleeps_far_apart_are_accidents(rule):
    in_vain(rule, 5000, 5000 + NEAR, 5000 + 2 * NEAR)
    assert rule.spins(5001 + 2 * NEAR) == LONG


@pytest.mark.parametrize(("slept", "op"), [(MS // 2, 0), (20 * MS, 10 * MS)])
def test_short_sleeps_and_those_of_long_ops_are_none(rule, slept, op):
    for turn in range(5000, 5020):
        rule.wait_once(turn, slept, op)
    assert rule.spins(5020) == LONG


def test_each_time_again_lasts_longer_up_to_a_most_and_quiet_is_forgiven(rule):
    turn, lasted = 5000, []
    for _ in range(4):
        in_vain(rule, turn, turn + 1)
        found = next(n for n in range(2 * MOST) if rule.spins(turn + 1 + n) == LONG)
        lasted.append(found)
        turn += 1 + found
    assert lasted == [LEAST, 2 * LEAST, MOST, MOST]
    turn += 3 * MOST
    in_vain(rule, turn, turn + 1)
    assert rule.spins(turn + 1 + LEAST) == LONG


def test_waits_of_the_first_calls_are_none(rule):
    in_vain(rule, *range(WARM - 10, WARM + 1))
    assert rule.spins(WARM + 1) == LONG
    in_vain(rule, WARM + 1)
    assert rule.spins(WARM + 2) == SHORT


def test_turns_may_wrap(rule):
    assert {rule.spins(turn) for turn in (2**31 - 1, 2**31, 2**32 - 1 - MOST)} == {LONG}
    in_vain(rule, 2**32 - 5, 2**32 - 4)
    assert rule.spins(2**32 - 1) == SHORT
    assert rule.spins(LEAST - 5) == SHORT
    assert rule.spins(LEAST - 4) == LONG


def test_a_wait_in_vain_leaves_a_thread_out_and_later_all_take_part_again(rule):
    now = 10**12
    assert [rule.size(n, now) for n in (1, 2, 8)] == [1, 2, 8]
    rule.leave_out(now)
    assert [rule.size(n, now + LEAST_PAUSE - 1) for n in (1, 2, 8)] == [1, 1, 7]
    rule.leave_out(now + 1)
    assert [rule.size(n, now + LEAST_PAUSE + 1) for n in (1, 2, 8)] == [1, 1, 6]
    assert rule.size(8, now + 2 * LEAST_PAUSE + 1) == 8


def test_each_time_again_a_thread_is_left_out_for_longer_and_quiet_is_forgiven(rule):
    now, pauses = 10**12, []
    for _ in range(6):
        rule.leave_out(now)
        step = LEAST_PAUSE // 4
        pauses.append(next(n for n in range(0, 9 * 10**9, step) if rule.size(2, now + n) == 2))
        now += pauses[-1]
    assert pauses == [LEAST_PAUSE * 2**n for n in range(4)] + [MOST_PAUSE] * 2
    now += 2 * MOST_PAUSE + 1
    rule.leave_out(now)
    assert rule.size(2, now + LEAST_PAUSE) == 2
