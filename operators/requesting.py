# SPDX-License-Identifier: GPL-3.0-or-later
"""Request another retopology of an input mesh. It costs credits: nothing here tries twice.

Called from a script, the call is the confirmation. It returns when the service has taken the
request: the new session's ID is in `WindowManager.csm_retopo.session_id` then, where
`csm_retopo.import_session` finds it. With `wait`, it returns when the session is imported. It
raises RuntimeError with what went wrong, which says whether anything was requested.
"""

from __future__ import annotations

import itertools
import logging
from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, StringProperty

from ..api import requesting
from ..api.errors import (
    Cancelled,
    ConfigurationError,
    CsmError,
    RequestUncertain,
    StillRunning,
    usual_duration,
)
from ..api.requesting import RequestJob, Wish
from ..api.session import find_session_id, is_asset_id
from ..api.texts import Text
from ..scene import rows, runner, sessions
from ..scene.background.converter import Converter
from ..scene.pipeline import Import
from ..scene.targets import SceneTarget
from ..scene.texts import told
from .importing import fail, import_job, is_alongside

log = logging.getLogger(__name__)

WAIT_S = 7200.0
"""How long a script waits if the preferences have no limit."""
_DIALOG_WIDTH = 340
_IMPORT_FIRST = "Import a session first"


class Request(Import):
    """An import that begins with a request. The new session's ID is told as soon as it is known."""

    def __init__(self, job: RequestJob, target: SceneTarget, converter: Converter) -> None:
        super().__init__(job, target, converter)
        self._request = job
        self._is_told = False

    def step(self, wait_s: float = 0.0) -> None:
        """Move on a little."""
        super().step(wait_s)
        if self._request.session_id and not self._is_told:
            self._is_told = True
            _tell_requested(self._request.session_id, self._request.wish)

    def cancel(self) -> None:
        """End it. What was requested goes on at the service."""
        if not self.is_over:
            super().cancel()
            # A job that another file's loading ends has no other way to tell.
            text, is_error = self.conclusion("")
            log.log(logging.WARNING if is_error else logging.INFO, text)

    def conclusion(self, key: str) -> tuple[str, bool]:
        """What to tell the artist at the end, and whether something went wrong."""
        error, session_id = self.outcome.error, self._request.session_id
        if isinstance(error, Cancelled):
            if self._request.is_uncertain:
                return RequestUncertain().text, True
            if session_id:
                return Text("Stopped waiting for {}: import it by this ID later", session_id), False
            return "Cancelled. Nothing was requested", False
        if isinstance(error, StillRunning) and not self._request.wait_s:
            return Text("Requested {}: import it when it is ready", session_id), False
        return super().conclusion(key)


def _tell_requested(session_id: str, wish: Wish) -> None:
    log.info("Requested %s", session_id)
    runner.show_message(_requested(session_id, wish), is_error=False)


def _requested(session_id: str, wish: Wish) -> Text:
    return Text("Requested {} ({})", session_id, wish.text)


class CSM_RETOPO_OT_request_another(bpy.types.Operator):
    """Have the service make another retopology of the same input mesh, and import it"""

    bl_idname = "csm_retopo.request_another"
    bl_label = "Request Another"
    # Neither "Repeat Last" nor "Adjust Last Operation": they would request without asking.
    bl_options = set()

    session_id: StringProperty(
        name="Session",
        description="The session of this scene whose input mesh is to be retopologised again. "
        "Left empty, the one that was imported last",
        options={"SKIP_SAVE"},
    )
    input_asset_id: StringProperty(
        name="Input Asset",
        description="The service's ID of the mesh to retopologise, in place of a session's",
        options={"SKIP_SAVE"},
    )
    model: EnumProperty(
        name="Model",
        description="The service's model",
        items=(
            ("SWIFT", "Swift", "Up to 8,000 faces; usually takes 5 to 10 minutes"),
            ("PRECISION", "Precision", "Many faces; usually takes up to 50 minutes"),
        ),
        options={"SKIP_SAVE"},
    )
    quads: BoolProperty(
        name="Quads",
        description="Turn triangles to quads where possible",
        default=True,
        options={"SKIP_SAVE"},
    )
    wait: BoolProperty(
        name="Wait",
        description="Called from a script: import the new session as soon as it is ready",
        options={"SKIP_SAVE"},
    )

    @classmethod
    def description(cls, context: bpy.types.Context, properties: Any) -> str:
        """What it does, or why it can't for this session."""
        collection = _find_collection(context, properties.session_id)
        if collection and not collection.csm_retopo.input_asset_id:
            return told(_unknown_input(collection.csm_retopo.session_id))
        return told(
            "Have the service make another retopology of the same input mesh, with another model "
            "or setting. You are asked first, since it costs credits"
        )

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        """Whether the service can be used."""
        try:
            sessions.find_service()
        except ConfigurationError as error:
            cls.poll_message_set(told(error.text))
            return False
        return True

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        """Ask for the settings and a confirmation."""
        try:
            asset_id = self._find_input(context)
            cache = sessions.open_cache()
        except CsmError as error:
            return fail(self, error)
        self._propose(context, asset_id)
        self._before = requesting.find_requested(cache, asset_id)[:3]
        return context.window_manager.invoke_props_dialog(
            self, width=_DIALOG_WIDTH, title="Request Another Retopology", confirm_text="Request"
        )

    def draw(self, _context: bpy.types.Context) -> None:
        """Draw the dialog."""
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.row().prop(self, "model", expand=True)
        layout.prop(self, "quads")
        column = layout.column(align=True)
        duration = told(usual_duration(self.model.lower()))
        column.label(text=f"{duration[:1].upper()}{duration[1:]}", translate=False, icon="TIME")
        column.label(text="This costs credits of your account on the service", icon="ERROR")
        if self._before:
            box = layout.box().column(align=True)
            box.label(text="Requested before, and not fetched yet:")
        for session in self._before:
            wish = Wish("", session.model or "", bool(session.quads))
            row = box.row(align=True)
            text = f"{session.session_id.removeprefix('SESSION_')} · {told(wish.text)}"
            row.label(text=text, translate=False)
            row.operator_context = "INVOKE_DEFAULT"
            row.operator("csm_retopo.import_session", text="Import").session_id = session.session_id

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Request it."""
        try:
            wish = Wish(self._find_input(context), self.model.lower(), self.quads)
            service, cache = sessions.find_service(), sessions.open_cache()
            key = f"Request Another ({wish})"
            if is_alongside(self):
                wait_s = sessions.wait_limit_s()
                job = RequestJob(wish, service, cache, wait_s=wait_s, early=True)
                if runner.is_running(key):  # maybe of another mesh
                    key = f"{key} of {self.session_id or wish.input_asset_id}"
                return import_job(self, context, key, job, Request)
            if self.wait:
                wait_s = sessions.wait_limit_s() or WAIT_S
                return import_job(
                    self, context, key, RequestJob(wish, service, cache, wait_s=wait_s)
                )
            session_id = requesting.request(wish, service, cache)
        except CsmError as error:
            return fail(self, error)
        context.window_manager.csm_retopo.session_id = session_id
        _tell_requested(session_id, wish)
        self.report({"INFO"}, told(_requested(session_id, wish)))
        return {"FINISHED"}

    def _find_input(self, context: bpy.types.Context) -> str:
        """The asset to retopologise. Raises CsmError."""
        # The service takes URLs, too; but they are credentials, and would be kept and shown.
        if is_asset_id(self.input_asset_id):
            return self.input_asset_id
        if self.input_asset_id:
            self.input_asset_id = ""
            raise CsmError("That is no asset ID: give one like ASSET_1747336753_4977382")
        if self.session_id:
            text, self.session_id = self.session_id, ""
            self.session_id = find_session_id(text)
        collection = _find_collection(context, self.session_id)
        if collection is None:
            raise CsmError(
                Text("{} is not in this scene: import it first", self.session_id)
                if self.session_id
                else _IMPORT_FIRST
            )
        if not collection.csm_retopo.input_asset_id:
            raise CsmError(_unknown_input(collection.csm_retopo.session_id))
        return collection.csm_retopo.input_asset_id

    def _propose(self, context: bpy.types.Context, asset_id: str) -> None:
        """Choose, of what the caller left open, settings that the scene has no session of yet."""
        carried = [each.csm_retopo for each in rows.session_collections(context.scene)]
        there = {(each.model, each.quads) for each in carried if each.input_asset_id == asset_id}
        collection = _find_collection(context, self.session_id)
        model, quads = "precision", True
        if collection is not None:
            model, quads = collection.csm_retopo.model, collection.csm_retopo.quads
        other = "swift" if model == "precision" else "precision"
        same = model if model in ("swift", "precision") else "swift"
        choices = [*itertools.product((other, same), (quads, not quads))]
        proposed = next((each for each in choices if each not in there), choices[0])
        if not self.properties.is_property_set("model"):
            self.model = proposed[0].upper()
        if not self.properties.is_property_set("quads"):
            self.quads = proposed[1]


def _find_collection(context: bpy.types.Context, session_id: str) -> bpy.types.Collection | None:
    """The collection of the scene that holds this session, or, for none, the last session."""
    collections = rows.session_collections(context.scene)
    wanted = [each for each in collections if session_id in ("", each.csm_retopo.session_id)]
    return wanted[-1] if wanted else None


def _unknown_input(session_id: str) -> Text:
    return Text("It is not known which mesh on the service {} was made from", session_id)


register, unregister = bpy.utils.register_classes_factory((CSM_RETOPO_OT_request_another,))
