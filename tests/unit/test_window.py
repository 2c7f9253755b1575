"""How many at once, and who comes next."""

from __future__ import annotations

from instance_ha.engine.selection import rank_of
from instance_ha.engine.window import FIRST_WINDOW, LOOK, Queue, Waiting, Window
from instance_ha.model import Server

from tests.unit.test_model import server


def fill(window: Window, rate: float, start: float) -> float:
    """A full window whose evacuations complete at `rate` a second, until a window's worth is done; the time then."""
    now, size = start, window.size
    window.tick(now, size, 0, 0)
    for _ in range(size):
        now += 1 / rate
        window.tick(now, size, 0, 1)
    return now


def test_it_widens_while_more_complete_and_no_further() -> None:
    window = Window(2, 64)
    assert window.size == FIRST_WINDOW
    now = fill(window, 1.0, 0.0)
    assert window.size == 2 * FIRST_WINDOW
    now = fill(window, 2.0, now)
    assert window.size == 4 * FIRST_WINDOW
    now = fill(window, 2.0, now)
    assert window.size == 4 * FIRST_WINDOW, "the same rate with twice as many: Nova is at its limit"
    fill(window, 2.7, now)
    assert window.size == 8 * FIRST_WINDOW


def test_ceiling_and_floor() -> None:
    window = Window(3, 6)
    fill(window, 1.0, 0.0)
    assert window.size == 6
    for size in (3, 3, 3):
        window.trouble()
        assert window.size == size


def test_what_stands_still_takes_no_place_but_counts_against_the_ceiling() -> None:
    window = Window(2, 6)
    assert (window.room(4, 0), window.room(0, 4), window.room(1, 4), window.room(0, 6), window.room(2, 5)) == (0, 2, 1, 0, -1)


def test_a_window_that_is_not_full_tells_nothing() -> None:
    window = Window(2, 64)
    for now in range(100):
        window.tick(float(now), 1, 0, 1)
    assert window.size == FIRST_WINDOW


def test_long_evacuations_do_not_hold_it_small() -> None:
    """They all have a destination and only take their time: nothing tells against more."""
    window = Window(2, 64)
    window.tick(0.0, window.size, window.size, 0)
    window.tick(LOOK + 1, window.size, 1, 0)
    assert window.size == FIRST_WINDOW, "one waits for the scheduler"
    window.tick(LOOK + 2, window.size, 0, 0)
    assert window.size == 2 * FIRST_WINDOW


def wait_for(host: str, name: str, **metadata: str) -> Waiting:
    return Waiting(host, server(id=f"{host}-{name}", name=name, metadata=metadata))


def names(chosen: list[Waiting]) -> list[str]:
    return [one.server.id for one in chosen]


def queue(now: list[float], pause: float = 0.0) -> Queue:
    return Queue(60.0, pause, lambda: now[0])


def test_priorities_hold_across_hosts_and_equals_share() -> None:
    waiting = [wait_for("a", "1"), wait_for("a", "2"), wait_for("a", "3"), wait_for("b", "4"), wait_for("b", "5"),
               wait_for("b", "vip", restart_priority="900"), wait_for("a", "low", restart_priority="100")]
    chosen, reasons = queue([0.0]).choose(waiting, [], {}, 5)
    assert names(chosen) == ["b-vip", "a-1", "a-2", "b-4", "a-3"] or names(chosen) == ["b-vip", "a-1", "b-4", "a-2", "b-5"]
    assert "a-low" in reasons and "turn" in reasons["a-low"]


def test_a_host_with_much_under_way_gives_way() -> None:
    chosen, _ = queue([0.0]).choose([wait_for("a", "1"), wait_for("b", "2")], [], {"a": 4}, 1)
    assert names(chosen) == ["b-2"]


def test_a_group_waits_for_the_one_before_it_up_to_a_limit() -> None:
    now = [0.0]
    line = queue(now)
    first = wait_for("a", "db", restart_group="db", restart_priority="900")
    second = wait_for("b", "web", restart_group="web")
    free = wait_for("b", "free")
    everybody: list[Server] = [first.server, second.server]
    chosen, reasons = line.choose([first, second, free], everybody, {}, 10)
    assert names(chosen) == ["a-db", "b-free"] and reasons["b-web"] == "waits for the restart group db"
    now[0] = 30.0
    assert line.choose([second], everybody, {"a": 1}, 10)[0] == []
    now[0] = 61.0
    assert names(line.choose([second], everybody, {"a": 1}, 10)[0]) == ["b-web"], "the limit is over"


def test_a_group_comes_as_soon_as_the_one_before_it_is_over() -> None:
    line = queue([0.0])
    second = wait_for("b", "web", restart_group="web")
    assert names(line.choose([second], [second.server], {}, 10)[0]) == ["b-web"]


def test_the_fixed_pause_between_starts() -> None:
    now = [0.0]
    line = queue(now, pause=5.0)
    waiting = [wait_for("a", "1"), wait_for("a", "2")]
    assert len(line.choose(waiting, [], {}, 10)[0]) == 1
    now[0] = 4.0
    assert line.choose(waiting[1:], [], {}, 10)[0] == []
    now[0] = 5.0
    assert len(line.choose(waiting[1:], [], {}, 10)[0]) == 1


def test_a_restart_group_is_one_of_its_project() -> None:
    """Ten groups of one user, with the highest priority that he can write, hold nobody else's up."""
    clock = [0.0]
    queue = Queue(300.0, 0.0, lambda: clock[0])
    theirs = [server(id=f"m{n}", name=f"m{n}", project="m", metadata={"restart_group": f"g{n}", "restart_priority": "999999999"}) for n in range(10)]
    ours = [server(id="o1", name="o1", project="p", metadata={"restart_group": "db"}), server(id="o2", name="o2", project="p",
                                                                                                metadata={"restart_group": "web"})]
    chosen, reasons = queue.choose([Waiting("cmp-1", one) for one in (*theirs, *ours)], [*theirs, *ours], {}, 16)
    assert {one.server.id for one in chosen} == {"m0", "o1"} and reasons["o2"] == "waits for the restart group db"
    assert rank_of(theirs[0]) == rank_of(server(metadata={"restart_priority": "1000"}))
