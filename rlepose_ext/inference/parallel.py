"""Work on several items at once, with the results in the order of the items."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar('Item')
Result = TypeVar('Result')


def in_order(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    workers: int,
    begin: Callable[[], None] | None = None,
) -> Iterator[Result]:
    """``work(item)`` of each item, in threads.

    ``workers + 1`` items are begun before the first result is taken. Where an item or its work
    raises, the results before it come first. What is not begun when the caller stops is left.

    Args:
        work: called by several threads at once.
        items: taken by the caller's thread.
        workers: number of threads.
        begin: called by each thread before its first item.
    """
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers, 'predict', begin) as pool:
        try:
            error = None
            iterator = iter(items)
            while True:
                try:
                    waiting.append(pool.submit(work, next(iterator)))
                except StopIteration:
                    break
                except Exception as raised:
                    error = raised
                    break
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
            if error is not None:
                raise error
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def torch_threads(number: int) -> Iterator[Callable[[], None]]:
    """Gives a function by which a new thread gets ``number`` threads for its networks.

    torch keeps the number for each thread, and gives the one that was set last to threads to come.
    Those that come later have as many as before again.
    """
    import torch

    before = torch.get_num_threads()
    try:
        yield lambda: torch.set_num_threads(number)
    finally:
        torch.set_num_threads(before)


def workers_and_threads() -> tuple[int, int]:
    """How many threads run networks, and how many threads each network has.

    Two networks with one thread each wait for each other less than one network with two; and
    while one of them reads the output of its network, the other one computes.
    """
    import torch

    threads = torch.get_num_threads()
    return (2, threads // 2) if threads > 1 else (1, 1)
