"""A signal is heard whichever thread it reaches and whatever the main thread waits for."""
import os
import signal
import threading

from obsvc.process import signals


def test_a_signal_that_reaches_another_thread_is_heard_while_the_main_thread_waits():
    ending, ready, done = threading.Event(), threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: (ready.set(), done.wait()))
    thread.start()  # takes what the main thread blocks from here on
    ready.wait()
    undo = signals.on_termination(ending.set)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signals.ENDING)
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        assert ending.wait(10)
    finally:
        undo()
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        done.set()
        thread.join()


def test_each_signal_is_told_and_afterwards_all_is_as_it_was():
    before, told = signal.getsignal(signal.SIGINT), threading.Semaphore(0)
    undo = signals.on_termination(told.release)
    for _ in range(2):
        os.kill(os.getpid(), signal.SIGINT)
        assert told.acquire(timeout=10)
    undo()
    assert signal.getsignal(signal.SIGINT) is before
    assert signal.set_wakeup_fd(-1) == -1
