"""Ctrl-C during training: the running step ends, and what there is is kept."""

__all__ = ["interruptible"]

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def interruptible(trainer: Any) -> Iterator[threading.Event]:
    """Yields an event that the first Ctrl-C sets; a second one interrupts at once.

    Outside the main thread, where Python takes no signals, the event is never set.
    """
    event = threading.Event()
    trainer.interrupted = event
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def first(number: int, frame: Any) -> None:
        event.set()
        signal.signal(signal.SIGINT, before)

    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, first)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, before)
