# SPDX-License-Identifier: GPL-3.0-or-later
"""Work that is moved on a little at a time, so that nobody waits for it for long."""

from __future__ import annotations

import time

from ..api.errors import CsmError
from ..api.jobs import log_failure
from ..api.texts import Text

STEP_BUDGET_S = 0.008
"""How long one step goes on taking up further work. A single piece of work can exceed it."""


class Stepwise:
    """What an import and a report have in common. Main thread only."""

    is_over = False

    @property
    def detail(self) -> str:
        """What else there is to know about the stage; often nothing."""
        return ""

    @property
    def is_idle(self) -> bool:
        """Whether it waits for something that can take long, and others may go first."""
        return False

    @property
    def waits_for_artist(self) -> bool:
        """Whether all is ready, and `place` has it placed."""
        return False

    def place(self) -> None:
        """Put what is ready in its place now."""

    def note_failures(self) -> None:
        """Have the panel show what could not be had and may be had another time."""

    def step(self, wait_s: float = 0.0) -> None:
        """Move on a little: do what can be done now, and take up what others have to tell.

        `wait_s` is how long it may wait for news when there is nothing else to do. It raises
        nothing: what goes wrong ends it.
        """
        end = time.monotonic() + STEP_BUDGET_S
        try:
            while not self.is_over:
                worked = self._step_once(wait_s)
                if not worked or time.monotonic() >= end:
                    return
        except CsmError as error:
            self._end(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the user gets an answer
            log_failure(error)
            self._end(
                CsmError(
                    Text("Something unforeseen happened ({}): see the log", type(error).__name__)
                )
            )

    def _step_once(self, wait_s: float) -> bool:
        """Do one piece of work. Returns whether there was one."""
        raise NotImplementedError

    def _end(self, error: CsmError | None) -> None:
        """Set `is_over`; `error` says why, None if all is done."""
        raise NotImplementedError
