# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring a session's files together on a thread, and tell what happens through a queue.

A job is made and started on any thread, `poll` and `cancel` are called from the one that waits for
it. Its messages are `Waiting` and `Notice` in any number, `SessionRead`, then `Progress`,
`FileReady` and `FileFailed` in any number, then exactly one of `Finished`, `Failed` and `Stopped`.
While a session is still running, a part of it can come before: `SessionRead`, its files,
`PartBrought`.
"""

from __future__ import annotations

import enum
import hashlib
import logging
import queue
import threading
import time
import traceback
from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from . import image_files, kinds, mesh_files
from .cache import SOURCE_NAME, Cache, hash_file, mesh_name, preview_name
from .cancellation import Cancellation
from .errors import (
    CacheError,
    Cancelled,
    CsmError,
    DamagedFile,
    FolderError,
    LinkExpired,
    MissingFile,
    NotJSON,
    RateLimited,
    ServerFailure,
    StillRunning,
    Unreachable,
)
from .holding import Hold
from .patience import Patience
from .session import (
    NOT_NAMED,
    SESSION_LIMIT_BYTES,
    Links,
    RemoteFile,
    Session,
    clean_name,
    parse_session,
)
from .settings import Service

if TYPE_CHECKING:
    from .downloads import Downloaded
    from .transport import Transport

log = logging.getLogger(__name__)

PARALLEL_DOWNLOADS = 16
POLL_INTERVAL_S = 30.0
"""How often a running session is asked for: the vendor's own advice."""
LONG_WAIT_S = 600.0
"""From then on it is asked for half as often."""

NO_SESSION = (Unreachable, ServerFailure, RateLimited, NotJSON)
"""The service is not at its best, or something else answered in its place."""

_PROGRESS_INTERVAL_S = 0.05


class FileKind(enum.Enum):
    """What a file of a session is."""

    MESH = "mesh"
    PREVIEW = "preview image"
    SOURCE = "source mesh"


@dataclass(frozen=True)
class SessionRead:
    """The session is known."""

    session: Session


@dataclass(frozen=True)
class Waiting:
    """The session is still running on the service, and is asked for again. `elapsed_s` counts from
    when the job began.
    """

    elapsed_s: float
    model: str | None = None


@dataclass(frozen=True)
class Progress:
    """Bytes and files so far. `total_bytes` counts the files whose length is known by now."""

    received_bytes: int
    total_bytes: int
    files_done: int
    files: int


@dataclass(frozen=True)
class FileReady:
    """A file is whole at `path`. `index` is the variation's, or -1 for the source; `width` and
    `height` are an image's, in pixels.
    """

    kind: FileKind
    index: int
    path: Path
    sha256: str
    width: int = 0
    height: int = 0


@dataclass(frozen=True)
class FileFailed:
    """A file can't be had. The reason is a clause for the artist."""

    kind: FileKind
    index: int
    reason: str


@dataclass(frozen=True)
class Notice:
    """Something the artist should know, though it stops nothing."""

    text: str


@dataclass(frozen=True)
class PartBrought:
    """The files of what is ready early were settled; the session is still running."""


@dataclass(frozen=True)
class Finished:
    """All files were settled."""


@dataclass(frozen=True)
class Failed:
    """The session could not be brought in at all."""

    error: CsmError


@dataclass(frozen=True)
class Stopped:
    """The job was cancelled."""


Message = (
    SessionRead
    | Waiting
    | Progress
    | FileReady
    | FileFailed
    | Notice
    | PartBrought
    | Finished
    | Failed
    | Stopped
)


@dataclass(frozen=True)
class WantedFile:
    """A file to bring in, and its name in the cache."""

    kind: FileKind
    index: int
    remote: RemoteFile
    cache_name: str


def wanted_files(session: Session, *, with_source: bool) -> list[WantedFile]:
    """The files of a session: the meshes first, since converting them takes longest.

    Variations that the service has not finished are left out, and a source without a file.
    """
    complete = [variation for variation in session.variations if variation.is_complete]
    files = [
        WantedFile(FileKind.MESH, each.index, each.mesh, mesh_name(each.index)) for each in complete
    ]
    source = session.source
    if with_source and source is not None and source.mesh.problem != NOT_NAMED:
        files.append(WantedFile(FileKind.SOURCE, -1, source.mesh, SOURCE_NAME))
    files += [
        WantedFile(FileKind.PREVIEW, each.index, each.preview, preview_name(each.index))
        for each in complete
    ]
    return files


class Job(ABC):
    """A thread that brings a session's files together."""

    session_id = ""
    """The session's ID, if it is known before the session was read."""
    verb = "Reading"
    """What it does with files, to show to the user."""
    can_fetch_again = False
    """Whether a file that it could not bring may come another time."""

    def __init__(self, cache: Cache, *, with_source: bool) -> None:
        self.is_under_way = False
        """Whether its imports are done, and what it does from here on is mostly waiting."""
        self.cache = cache
        self.with_source = with_source
        self.cancellation = Cancellation()
        self._held: Hold | None = None
        self._messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._over = False
        # A daemon: Blender's exit must not wait for a thread that hangs in a name look-up.
        self._thread = threading.Thread(target=self._guarded, name="csm-retopo-job", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def cancel(self) -> None:
        """End it: `poll` returns Stopped from now on, threads end by themselves. What it brought
        into the cache is held no longer; call it when all of that was used, too.
        """
        self.cancellation.cancel()
        self._let_go()

    def join(self, timeout_s: float) -> None:
        """Wait for the thread to end."""
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def poll(self, timeout_s: float = 0.0) -> Message | None:
        """The next message, or None if none came in time, or none will come any more."""
        if self._over:
            return None
        if self.cancellation.is_set:
            self._over = True
            return Stopped()
        try:
            message = (
                self._messages.get(timeout=timeout_s) if timeout_s else self._messages.get_nowait()
            )
        except queue.Empty:
            return None
        self._over = isinstance(message, Finished | Failed | Stopped)
        return message

    @abstractmethod
    def _run(self) -> None:
        """Do the work, on the job's thread. Raises CsmError."""

    def _guarded(self) -> None:
        try:
            self._run()
        except Cancelled:
            self._emit(Stopped())
        except CsmError as error:
            self._emit(Failed(_bare(error)))
        except Exception as error:  # noqa: BLE001 - whatever it is, the user gets an answer
            log_failure(error)
            self._emit(Failed(CsmError(f"Something unforeseen happened ({type(error).__name__})")))
        else:
            self._emit(Finished())

    def _emit(self, message: Message) -> None:
        self._messages.put(message)

    def _hold(self, session_id: str) -> None:
        """Keep the session in the cache until `cancel`."""
        if self._held is None:
            self._held = self.cache.hold(session_id)
        if self.cancellation.is_set:
            self._let_go()

    def _let_go(self) -> None:
        if self._held is not None:
            self._held.end()

    def _bring_folder(self, folder: Path, session: Session) -> None:
        """Bring in the session that the folder holds."""
        self._hold(session.session_id)
        self._emit(SessionRead(session))
        wanted = wanted_files(session, with_source=self.with_source)
        is_cached = self.cache.has_folder(folder)
        for done, file in enumerate(wanted):
            self.cancellation.check()
            self._emit(Progress(0, 0, done, len(wanted)))
            try:
                path = _locate(folder, file)
                if not is_cached:
                    self._emit(_ready(file, path, hash_file(path)))
                elif cached := self.cache.find(path, {}):
                    self._emit(_ready(file, path, cached.sha256))
                else:
                    raise DamagedFile("what was fetched before is damaged")
            except CsmError as error:
                self._emit(FileFailed(file.kind, file.index, str(error)))
            except OSError as error:
                self._emit(FileFailed(file.kind, file.index, error.strerror or "can't be read"))
        self._emit(Progress(0, 0, len(wanted), len(wanted)))


def _locate(folder: Path, file: WantedFile) -> Path:
    """The file beside `session.json`: only the last part of a URL or path counts."""
    if file.remote.url is None:
        raise MissingFile(file.remote.problem or NOT_NAMED)
    link = file.remote.url
    path = link.partition("?")[0].partition("#")[0]
    # Some programs save a file under its name as it is spelt in the URL.
    names = [_last_part(each) for each in (unquote(path), path, link)]
    for name in names:
        found = folder / name
        # On Windows, `C:mesh.obj` is a file of another folder.
        if name and found.parent == folder and found.is_file():
            return found
    raise MissingFile(f"{clean_name(names[0]) or 'its file'} is not in the folder")


def _last_part(path: str) -> str:
    return path.replace("\\", "/").rpartition("/")[2]


def _ready(file: WantedFile, path: Path, sha256: str) -> FileReady:
    """The message that a file is there. Raises DamagedFile for an image that is none."""
    width, height = image_files.check_png(path) if file.kind is FileKind.PREVIEW else (0, 0)
    return FileReady(file.kind, file.index, path, sha256, width, height)


def _bare(error: CsmError) -> CsmError:
    """The error without what led to it: frames and causes hold the key and URLs."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def log_failure(error: BaseException) -> None:
    """Log where an unforeseen error happened, without its text: that may hold a URL."""
    stack = "".join(traceback.format_tb(error.__traceback__))
    log.error("%s\n%s", type(error).__name__, stack)


class FolderJob(Job):
    """A session kept as a folder: `session.json`, and the files beside it."""

    def __init__(
        self, folder: Path, cache: Cache, *, with_source: bool = True, notice: str = ""
    ) -> None:
        super().__init__(cache, with_source=with_source)
        self.folder = folder.absolute()  # the background Blenders work in folders of their own
        self.notice = notice

    def _run(self) -> None:
        if self.notice:
            self._emit(Notice(self.notice))
        if self.cache.has_folder(self.folder):
            session = self.cache.load_session(self.folder.name)
        else:
            session = read_folder_session(self.folder)
        session.require_result()
        self._bring_folder(self.folder, session)


def read_folder_session(folder: Path) -> Session:
    """The session in `folder/session.json`.

    Raises FolderError, NotJSON and NotRetopology.
    """
    path = folder / "session.json"
    try:
        with kinds.opened(path, SESSION_LIMIT_BYTES) as (file, _):
            body = file.read(SESSION_LIMIT_BYTES)
    except MissingFile:
        raise FolderError(
            f"{folder.name or folder} holds no session.json: choose the folder of one session"
        ) from None
    except DamagedFile as error:
        raise FolderError(f"session.json can't be read: {error}") from None
    return parse_session(body, Links.LOCAL)


class DownloadJob(Job):
    """A session from the service. What the cache holds whole is not fetched again.

    For a session that is still running it waits up to `wait_s`; with `early`, it brings variations
    that are ready while others are not. A `transport` given is used, and left open.
    """

    verb = "Fetching"
    can_fetch_again = True

    def __init__(
        self,
        session_id: str,
        service: Service,
        cache: Cache,
        *,
        with_source: bool = True,
        wait_s: float = 0.0,
        poll_interval_s: float = POLL_INTERVAL_S,
        refetch: bool = False,
        early: bool = False,
        patience: Patience | None = None,
        transport: Transport | None = None,
    ) -> None:
        super().__init__(cache, with_source=with_source)
        self.session_id = session_id
        self.service = service
        self.wait_s = wait_s
        self.early = early
        self.poll_interval_s = poll_interval_s
        self.refetch = refetch
        self.patience = patience
        self._shared_transport = transport
        self._lock = threading.Lock()
        self._todo: deque[WantedFile] = deque()
        self._amounts: dict[str, tuple[int, int]] = {}
        self._files = 0
        self._files_done = 0
        self._last_progress_s = 0.0
        self._session: Session | None = None
        self._fresh_lock = threading.Lock()
        self._fresh: Session | CsmError | None = None

    def _run(self) -> None:
        # These bring in requests: on this thread, its import holds nobody up.
        from .transport import Transport

        transport = self._shared_transport or Transport(
            self.cancellation,
            links=self.service.links,
            own_host=self.service.own_host,
            connections=PARALLEL_DOWNLOADS,
            patience=self.patience,
        )
        self.is_under_way = True
        try:
            self._bring_session(transport)
        except NO_SESSION as error:
            if self.refetch or self._session is not None:
                raise
            try:
                session = self.cache.load_session(self.session_id)
            except CsmError:
                raise error from None
            self._emit(Notice(f"{error}. This is what was fetched before"))
            self._bring_folder(self.cache.root / self.session_id, session)
        finally:
            if transport is not self._shared_transport:
                transport.close()

    def _bring_session(self, transport: Transport) -> None:
        """Bring the session when it is complete, and before that what is ready early."""
        from .client import fetch_session

        start = time.monotonic()
        known_to_run = False
        model: str | None = None
        brought: set[tuple[int, str]] = set()
        while True:
            try:
                session = fetch_session(transport, self.service, self.session_id)
                if not session.is_running:
                    session.require_result()
                    self._bring_files(transport, session)
                    return
                known_to_run = True
                model = session.model
                part = session.ready_part()
                ready = {
                    (each.index, each.asset_id) for each in part.variations if each.is_complete
                }
                if self.early and self.wait_s and ready - brought:
                    self._bring_files(transport, part)
                    self._emit(PartBrought())
                    brought |= ready
                session.require_result()
            except (StillRunning, *NO_SESSION):
                elapsed_s = time.monotonic() - start
                left_s = self.wait_s - elapsed_s
                # A wait of many minutes outlives a short failure of the network.
                if left_s <= 0 or not known_to_run:
                    raise
                self._emit(Waiting(elapsed_s, model))
                pause_s = self.poll_interval_s * (1 if elapsed_s < LONG_WAIT_S else 2)
                self.cancellation.sleep(min(pause_s, left_s))

    def _bring_files(self, transport: Transport, session: Session) -> None:
        """Bring the files of those of the session's variations that are complete."""
        self._session = session
        self._fresh = None
        self._hold(session.session_id)
        self._emit(SessionRead(session))
        wanted = wanted_files(session, with_source=self.with_source)
        try:
            self.cache.save_session(session)
        except CacheError:
            # Where nothing can be written, what is there already can still be read.
            names = [each.cache_name for each in wanted if each.remote.url]
            if self.refetch or not self.cache.holds_all(session.session_id, names):
                raise
        self._todo.extend(wanted)
        self._amounts = {}
        self._files = len(wanted)
        self._files_done = 0
        workers = [
            threading.Thread(
                target=self._download_files,
                args=(transport,),
                name=f"csm-retopo-download-{number}",
                daemon=True,
            )
            for number in range(min(PARALLEL_DOWNLOADS, len(wanted)))
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        self.cancellation.check()

    def _download_files(self, transport: Transport) -> None:
        while not self.cancellation.is_set:
            try:
                file = self._todo.popleft()
            except IndexError:
                return
            try:
                self._emit(self._bring(transport, file))
            except Cancelled:
                return
            except CsmError as error:
                self._emit(FileFailed(file.kind, file.index, str(error)))
            except Exception as error:  # noqa: BLE001 - whatever it is, the user gets an answer
                log_failure(error)
                self._emit(FileFailed(file.kind, file.index, type(error).__name__))
            with self._lock:
                self._files_done += 1
            self._report_progress(force=True)

    def _bring(self, transport: Transport, file: WantedFile) -> FileReady:
        """The file from the cache, else from the storage host."""
        if file.remote.url is None:
            raise MissingFile(file.remote.problem or NOT_NAMED)
        path = self.cache.root / self.session_id / file.cache_name
        url = file.remote.url
        cached = self.cache.find(path, {"origin": _origin(url)})
        if cached and not self.refetch:
            return _ready(file, cached.path, cached.sha256)
        if not cached:  # then it is damaged, or another file: not to be opened should this fail
            self.cache.distrust(path)
        downloaded = self._download(transport, file, url, path)
        try:
            if file.kind is not FileKind.PREVIEW:
                mesh_files.check_start(path, is_glb=file.kind is FileKind.SOURCE)
            ready = _ready(file, path, downloaded.sha256)
        except DamagedFile:
            self.cache.forget(path)
            raise
        self.cache.keep(path, downloaded.sha256, {"origin": _origin(downloaded.url)})
        return ready

    def _download(self, transport: Transport, file: WantedFile, url: str, path: Path) -> Downloaded:
        from .downloads import download

        def on_bytes(received: int, total: int | None) -> None:
            with self._lock:
                self._amounts[file.cache_name] = (received, max(received, total or 0))
            self._report_progress()

        return download(
            transport,
            self.cache,
            url,
            path,
            self_checking=file.kind is not FileKind.MESH,
            on_bytes=on_bytes,
            renew=lambda: self._fresh_url(transport, file),
        )

    def _fresh_url(self, transport: Transport, file: WantedFile) -> str:
        """The file's link in the session fetched again: once for all files of the job.

        Raises LinkExpired if there is none, and Cancelled.
        """
        from .client import fetch_session

        with self._fresh_lock:
            if self._fresh is None:
                try:
                    self._fresh = fetch_session(transport, self.service, self.session_id)
                except Cancelled:
                    raise
                except CsmError as error:
                    self._fresh = error
            fresh = self._fresh
        if isinstance(fresh, CsmError):
            raise LinkExpired from fresh
        if self._session is None or _asset_ids(fresh) != _asset_ids(self._session):
            raise LinkExpired  # its files would come under the names of others
        for each in wanted_files(fresh, with_source=True):
            if each.cache_name == file.cache_name and each.remote.url:
                return each.remote.url
        raise LinkExpired

    def _report_progress(self, *, force: bool = False) -> None:
        with self._lock:
            now = time.monotonic()
            if not force and now - self._last_progress_s < _PROGRESS_INTERVAL_S:
                return
            self._last_progress_s = now
            received = sum(amount for amount, _ in self._amounts.values())
            total = sum(total for _, total in self._amounts.values())
            # Still locked: another thread's news must not overtake it.
            self._emit(Progress(received, total, self._files_done, self._files))


def _asset_ids(session: Session) -> list[str]:
    return [variation.asset_id for variation in session.variations]


def _origin(url: str) -> str:
    """What tells a file of the storage host from another: a hash of its URL without the query,
    since the query is a passing credential and the path holds a person's e-mail.
    """
    parts = urlsplit(url)
    return hashlib.sha256(f"{parts.netloc}{parts.path}".encode()).hexdigest()
