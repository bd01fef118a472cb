"""What is measured: `WORKS`, a file for each kind."""

from __future__ import annotations

from benchmarks.figures import Work
from benchmarks.work import (
    cancelled,
    herd,
    hot_path,
    imports,
    logs,
    lost_answer,
    memory,
    redirect,
    rejections,
    renewal,
    stampede,
    startup,
    stores,
    streams,
    threads,
    throughput,
    unavailable,
)

__all__ = ["WORKS"]

WORKS: dict[str, Work] = {
    work.name: work
    for work in (
        *hot_path.WORKS,
        throughput.WORK,
        stampede.WORK,
        rejections.WORK,
        renewal.WORK,
        cancelled.WORK,
        lost_answer.WORK,
        unavailable.WORK,
        redirect.WORK,
        logs.WORK,
        imports.WORK,
        startup.WORK,
        memory.WORK,
        threads.WORK,
        herd.WORK,
        stores.WORK,
        streams.WORK,
    )
}
