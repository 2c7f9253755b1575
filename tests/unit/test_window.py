"""How many at once, and who comes next."""

from __future__ import annotations

from instance_ha.engine.selection import Policy, rank_of
from instance_ha.engine.window import FIRST_QUEUE, Queue, Waiting, Window
from instance_ha.model import Server

from tests.unit.test_model import server


def window(**policy: int) -> Window:
    return Window(Policy(**policy))  # type: ignore[arg-type]


def test_each_living_host_takes_so_many_and_all_of_them_no_more_than_the_most() -> None:
    one = window(max_parallel=50, max_parallel_per_host=10)
    assert [one.room(0, 0, 0, living) for living in (0, 1, 3, 9)] == [2, 10, 16, 16], "no more than can wait for a host"
    assert [one.room(under_way, 0, 0, 3) for under_way in (20, 29, 30, 35)] == [10, 1, 0, -5]
    assert [one.room(45, 0, 0, living) for living in (4, 5, 9)] == [-5, 5, 5]


def test_no_more_wait_for_a_host_than_keep_nova_busy() -> None:
    one = window()
    assert [one.room(undecided, undecided, 0, 10) for undecided in (0, 6, 16, 20)] == [FIRST_QUEUE, 10, 0, -4]


def test_the_fewest_may_always_be_under_way() -> None:
    one = window(min_parallel=30, max_parallel_per_host=1)
    assert one.room(0, 0, 0, 2) == 30
    for _ in range(4):
        one.tick(1, smooth=False)
    assert one.room(0, 0, 0, 2) == 30


def test_it_narrows_after_trouble_and_opens_again_when_all_goes_well() -> None:
    one = window()
    sizes = []
    for _ in range(5):
        one.tick(1, smooth=False)
        sizes.append(one.queue)
    assert sizes == [8, 4, 2, 2, 2]
    for sent in (1, 1, 4, 8):
        one.tick(sent, smooth=True)
        sizes.append(one.queue)
    assert sizes[5:] == [2, 4, 8, 16]
    one.tick(100, smooth=True)
    assert one.queue == FIRST_QUEUE


def test_what_stands_still_counts_against_the_whole_alone() -> None:
    one = window(max_parallel=20)
    assert [one.room(under_way, 0, still, 1) for under_way, still in ((4, 0), (0, 4), (1, 18), (0, 20), (2, 19))] == [16, 16, 1, 0, -1]


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
