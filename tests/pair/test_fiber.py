"""Programs of the played world beside a thread that is none of it."""

import threading

from firstboot.steps import meet
from tests.pair.conftest import a_world
from tests.pair.doors import Doors
from tests.pair.fiber import Fiber


def test_a_thread_that_another_test_left_over_takes_no_baton(doors: Doors) -> None:
    """One that slept by the world's clock ended a program's turn, and both waited for ever."""
    slept = threading.Event()

    def stray() -> None:
        (meet.wait_for_peer.__kwdefaults__ or {})["sleep"](0.01)
        slept.set()

    def body() -> None:
        thread = threading.Thread(target=stray, daemon=True)
        thread.start()
        thread.join(60)

    with a_world(doors):
        fiber = Fiber("justinian", body)
        fiber.resume()
        assert slept.is_set()
        assert fiber.ended
        assert fiber.error is None
