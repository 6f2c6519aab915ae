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

    Outside the main thread, where Python takes no signals, the event is never set; nor is it
    where the process ignores Ctrl-C, or some other language handles it.
    """
    event = threading.Event()
    trainer.interrupted = event
    before = signal.getsignal(signal.SIGINT)
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or before is None or before is signal.SIG_IGN:
        yield event
        return

    def first(number: int, frame: Any) -> None:
        event.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, first)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, before)
