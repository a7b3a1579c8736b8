# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong, in sentences that an artist can act on.

The text of an error is what the panel, the console and the report show. It says what happened and
what to do next, and never holds a key or a URL.
"""

from __future__ import annotations

from .texts import Text


class CsmError(Exception):
    """Something an artist can be told."""

    @property
    def text(self) -> str:
        """The same as `str`, but with what it takes to translate it."""
        return self.args[0] if self.args else ""


class Cancelled(CsmError):
    """The user stopped it."""

    def __init__(self) -> None:
        super().__init__("Cancelled")


class InvalidSessionID(CsmError):
    """What was typed holds no session ID."""

    def __init__(self) -> None:
        super().__init__(
            "That is no session ID: paste one like SESSION_1747336753_6390509, "
            "or a URL that contains it"
        )


class ConfigurationError(CsmError):
    """A setting is missing or can't be used."""


class ServiceError(CsmError):
    """The service did not give the session."""


class BadKey(ServiceError):
    """The service does not know the key (401)."""

    def __init__(self) -> None:
        super().__init__(
            "The service does not accept the API key: check it in the add-on's preferences, "
            "or in the variable CSM_API_KEY"
        )


class NoAccess(ServiceError):
    """The key is known but may not read this (403)."""

    def __init__(self) -> None:
        super().__init__(
            "This API key has no access to the session: retopology sessions need an Enterprise "
            "account, and the key of the account that made the session"
        )


class NoSuchSession(ServiceError):
    """The service knows no session of this ID (404)."""

    def __init__(self, session_id: str) -> None:
        super().__init__(Text("The service knows no session {}: check the ID", session_id))


class RateLimited(ServiceError):
    """Too many requests (429)."""

    def __init__(self) -> None:
        super().__init__("The service asks for fewer requests: try again in a few minutes")


class Unreachable(ServiceError):
    """No answer, or none that can be used, after all retries."""

    def __init__(self, host: str, reason: str) -> None:
        super().__init__(
            Text("{} can't be reached: {}. Check the network and try again", host, reason)
        )


class ServerFailure(ServiceError):
    """The service answered with an error of its own (5xx, or a status nobody expects)."""

    def __init__(self, host: str, status: int) -> None:
        super().__init__(Text("{} answered with an error ({}): try again later", host, status))


class NotJSON(ServiceError):
    """The answer is not a session: a web page, half a document, or something else."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            Text(
                "The answer is not a session ({}): check the service's address in the add-on's "
                "preferences, or try again later",
                reason,
            )
        )


class SessionError(CsmError):
    """The session was read, but can't be imported."""


class NotRetopology(SessionError):
    """The session is of another type."""

    def __init__(self, session_id: str, type_: str) -> None:
        super().__init__(
            Text(
                "{} is a session of type {}: only retopology sessions can be imported",
                session_id,
                type_,
            )
        )


class StillRunning(SessionError):
    """The session has no result yet."""

    def __init__(self, session_id: str, model: str | None) -> None:
        usual = usual_duration(model)
        super().__init__(
            Text("{} is still running ({}): import it again later", session_id, usual)
            if usual
            else Text("{} is still running: import it again later", session_id)
        )


def usual_duration(model: str | None) -> str:
    """How long the service's model usually takes, as a clause; empty if that is not known."""
    return {
        "swift": Text("the swift model usually takes 5 to 10 minutes"),
        "precision": Text("the precision model usually takes up to 50 minutes"),
    }.get(model or "", "")


class SessionFailed(SessionError):
    """The service could not make the retopology."""

    def __init__(self, session_id: str, reason: str | None) -> None:
        super().__init__(
            Text(
                "{} failed on the service ({}): start the retopology again there",
                session_id,
                reason,
            )
            if reason
            else Text("{} failed on the service: start the retopology again there", session_id)
        )


class NoVariations(SessionError):
    """The session is complete, but holds no mesh."""

    def __init__(self, session_id: str) -> None:
        super().__init__(
            Text(
                "{} is complete, but holds no variation: start the retopology again on the service",
                session_id,
            )
        )


class NothingImported(SessionError):
    """No variation of the session could be imported."""


class RequestError(CsmError):
    """A new retopology was requested, and something is not as it should be."""


class NotRequested(RequestError):
    """The service certainly did not take the request."""

    def __init__(self, reason: str) -> None:
        super().__init__(Text("Nothing was requested. {}", reason))


class RequestUncertain(RequestError):
    """The request was sent, and nobody knows what became of it."""

    def __init__(self, reason: str = "its answer was not waited for") -> None:
        super().__init__(
            Text(
                "It is not known whether the service took the request ({}). Look at your sessions "
                "on the service before you request again: each request costs credits",
                reason,
            )
        )


class RequestedOnly(RequestError):
    """The new session is there, but could not be fetched."""

    def __init__(self, session_id: str, error: CsmError) -> None:
        super().__init__(
            Text("{}. {} was requested all the same: import it by this ID", error.text, session_id)
        )


class FileError(CsmError):
    """One file can't be used. The rest of its session can."""


class DownloadFailed(FileError):
    """The file did not arrive whole."""


class LinkExpired(DownloadFailed):
    """The storage host refuses the link (403): its signature has run out."""

    def __init__(self) -> None:
        super().__init__("its link has expired: import the session again")


class DamagedFile(FileError):
    """The file arrived, or was there, but is not what it should be."""


class MissingFile(FileError):
    """The file is not there."""


class ConversionFailed(FileError):
    """Blender's importer could not make a mesh of the file."""


class FolderError(CsmError):
    """A session folder can't be read."""


class CacheError(CsmError):
    """The cache folder can't be written."""
