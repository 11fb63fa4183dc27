"""The same load for a synchronous library: its clients are threads, and a request of its own to
each. It reads what to do from standard input, a line for each run, and answers with a line.
"""

import json
import random
import sys
import threading
import time
from collections.abc import Callable

from benchmarks._samples import Recorder, Sample

Pair = Callable[[str], None]


def drive(pair: Pair, clients: int, customers: list[str], seconds: float, warm_up: float) -> Sample:
    """Run the load once, as `benchmarks._load.drive` does with tasks. An error ends it."""
    barrier = threading.Barrier(clients + 1)
    faults: list[BaseException] = []
    recorders: list[Recorder] = []

    def client(number: int, recorder: Recorder) -> None:
        chance = random.Random(number)  # noqa: S311 - the same customers in every run
        last = len(customers) - 1
        barrier.wait()
        try:
            while (begun := time.perf_counter()) < recorder.end:
                pair(customers[chance.randint(0, last)])
                recorder.add(begun, time.perf_counter())
        except BaseException as error:  # noqa: BLE001 - told to the thread that waits
            faults.append(error)

    threads = []
    for number in range(clients):
        recorders.append(Recorder(0.0, 0.0))
        threads.append(threading.Thread(target=client, args=(number, recorders[number])))
        threads[number].start()
    start = time.perf_counter() + warm_up
    for recorder in recorders:
        recorder.start, recorder.end = start, start + seconds
    barrier.wait()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]
    total = Recorder(start, start + seconds)
    for recorder in recorders:
        total.done += recorder.done
        total.latencies.extend(recorder.latencies)
    return total.sample()


def serve(pair: Pair, check: Callable[[int], None]) -> None:
    """Answer each line of standard input. `check` is told of the pairs done, and raises if the
    library's own books do not show them."""
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        sample = drive(pair, **json.loads(line))
        check(sample.done)
        print(sample.to_json(), flush=True)
