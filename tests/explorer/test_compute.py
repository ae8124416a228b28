"""The order of work on the one thread that draws."""

from __future__ import annotations

import threading

import pytest

from biggan_discovery.explorer.compute import Compute, Level, Stopping


@pytest.fixture
def compute():
    made = Compute()
    yield made
    made.stop()


def test_people_go_first_and_take_turns(compute: Compute) -> None:
    gate, order = threading.Event(), []
    compute.submit(Level.PICTURE, "gate", lambda: gate.wait(10))
    jobs = [
        (Level.GALLERY, "a", "strip"),
        (Level.EXPORT, "a", "film"),
        (Level.PICTURE, "a", "a1"),
        (Level.PICTURE, "a", "a2"),
        (Level.PICTURE, "a", "a3"),
        (Level.PICTURE, "b", "b1"),
        (Level.PICTURE, "b", "b2"),
    ]
    futures = [compute.submit(level, owner, lambda name=name: order.append(name)) for level, owner, name in jobs]
    gate.set()
    for future in futures:
        future.result(10)
    assert order == ["a1", "b1", "a2", "b2", "a3", "film", "strip"]


def test_long_work_gives_way_to_pictures_only(compute: Compute) -> None:
    order, begun, go = [], threading.Event(), threading.Event()

    def film() -> None:
        begun.set()
        go.wait(10)
        for frame in range(2):
            compute.give_way()
            order.append(f"frame {frame}")

    film_done = compute.submit(Level.EXPORT, "a", film)
    begun.wait(10)
    others = [
        compute.submit(Level.GALLERY, "a", lambda: order.append("strip")),
        compute.submit(Level.EXPORT, "b", lambda: order.append("other film")),
        compute.submit(Level.PICTURE, "b", lambda: (compute.give_way(), order.append("picture"))),
    ]
    go.set()
    for future in (film_done, *others):
        future.result(10)
    assert order == ["picture", "frame 0", "frame 1", "other film", "strip"]


def test_errors_are_those_of_the_job_and_the_thread_goes_on(compute: Compute) -> None:
    with pytest.raises(ZeroDivisionError):
        compute.submit(Level.PICTURE, "a", lambda: 1 / 0).result(10)
    assert compute.submit(Level.PICTURE, "a", lambda: 1).result(10) == 1


def test_other_threads_do_not_give_way(compute: Compute) -> None:
    compute.give_way()


def test_a_stop_ends_long_work_where_it_gives_way() -> None:
    compute, begun = Compute(), threading.Event()

    def endless() -> None:
        begun.set()
        while True:
            compute.give_way()

    running = compute.submit(Level.GALLERY, "a", endless)
    waiting = compute.submit(Level.GALLERY, "a", lambda: None)
    begun.wait(10)
    compute.stop()
    with pytest.raises(Stopping):
        running.result(10)
    assert waiting.cancelled()
    assert compute.submit(Level.PICTURE, "a", lambda: None).cancelled()
