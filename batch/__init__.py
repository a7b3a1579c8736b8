# SPDX-License-Identifier: GPL-3.0-or-later
"""Many sessions, a folder for each and a summary of all: on this machine or on a Dask cluster.

For pipelines, in a Blender or with the `bpy` module, with the extension enabled:

    from bl_ext.user_default.csm_retopo import batch

    for result in batch.run(["SESSION_1747336753_6390509"], "out", jobs=2):
        print(result.session_id, result.status, result.error)
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable

from .models import Options, SessionResult, Source, Status

__all__ = ["Options", "SessionResult", "Source", "Status", "run"]


def run(
    sources: Iterable[str],
    output: str | os.PathLike[str],
    *,
    jobs: int | None = None,
    options: Options = Options(),  # noqa: B008 - it is frozen
    scheduler: str = "",
    worker_output: str = "",
) -> Generator[SessionResult, None, None]:
    """Import sessions, each into a folder of its own in `output`, and yield what became of each.

    It does what `blender --command csm_retopo import` does; call it on the main thread. A source is
    a session ID, a URL with one, or the path of a session folder; each session is done once. They
    are yielded as they get done. `jobs` is how many are worked on at a time, each with a background
    Blender; None for as many as there are processors.

    With `scheduler`, the address of a Dask scheduler (`tcp://host:8786`), they are imported by its
    workers, as many at a time as these have threads, whatever `jobs` is. `output` is storage that
    the workers share, under that path or as `worker_output`. If the path `worker_output` is not
    shared, it is each worker's own, and `kept_on` tells whose.

    What fails is yielded like what doesn't, and the rest goes on. `summary.csv`, `summary.json` and
    `index.html` in `output` grow meanwhile, and are complete at the end, also when the iterator is
    closed (`close`) early. What earlier runs have imported is not imported again.

    Raises CsmError when nothing can go on: there is no source, the disk is full, or the scheduler
    can't be used. Raises OSError when `output` can't be written to at all.
    """
    from .running import Batch  # it needs Blender, which the summary does not

    batch = Batch(
        sources,
        output,
        jobs=jobs,
        options=options,
        scheduler=scheduler,
        worker_output=worker_output,
    )
    yield from batch.results()
