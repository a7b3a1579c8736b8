# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare the variations: the table's columns, order and export, colors and wires."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, StringProperty

from ..api.texts import Text
from ..scene.compare import keeping, table
from ..scene.measure.metrics import METRICS
from ..scene.properties import COLORS
from ..scene.rows import session_collections
from ..scene.texts import told

_SUFFIXES = {"CSV": ".csv", "JSON": ".json"}

_METRIC_ITEMS = tuple((metric.key, metric.label, metric.description) for metric in METRICS.values())


def _needs_session(cls: type[bpy.types.Operator], context: bpy.types.Context) -> bool:
    if not session_collections(context.scene):
        cls.poll_message_set("Import a session first")
        return False
    return True


class CSM_RETOPO_OT_show_colors(bpy.types.Operator):
    """Color the surfaces of all variations by what they are like, or stop it"""

    bl_idname = "csm_retopo.show_colors"
    bl_label = "Show Colors"
    bl_options = {"REGISTER", "UNDO"}

    colors: EnumProperty(name="Colors", description="What the colors show", items=COLORS)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Show them."""
        context.scene.csm_retopo.colors = self.colors
        return {"FINISHED"}


class CSM_RETOPO_OT_show_wireframe(bpy.types.Operator):
    """Show the edges of all variations, or stop it"""

    bl_idname = "csm_retopo.show_wireframe"
    bl_label = "Show Wireframe"
    bl_options = {"REGISTER", "UNDO"}

    show: BoolProperty(name="Show", description="Whether to show them", default=True)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Show or hide them."""
        context.scene.csm_retopo.wireframe = self.show
        return {"FINISHED"}


class CSM_RETOPO_OT_toggle_column(bpy.types.Operator):
    """Show a metric in the table, or don't"""

    bl_idname = "csm_retopo.toggle_column"
    bl_label = "Show Column"
    bl_options = {"UNDO", "INTERNAL"}

    column: EnumProperty(
        name="Column", description="The metric to show or not", items=_METRIC_ITEMS
    )

    @classmethod
    def description(cls, _context: bpy.types.Context, properties: Any) -> str:
        """What the metric means."""
        return told(METRICS[properties.column].description)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Show it or not."""
        table.toggle_column(context.scene, self.column)
        return {"FINISHED"}


class CSM_RETOPO_OT_sort_table(bpy.types.Operator):
    """Sort the table by a metric; once more reverses it, and then the sessions' order is back"""

    bl_idname = "csm_retopo.sort_table"
    bl_label = "Sort Table"
    bl_options = {"UNDO", "INTERNAL"}

    column: EnumProperty(name="Column", description="The metric to sort by", items=_METRIC_ITEMS)

    @classmethod
    def description(cls, _context: bpy.types.Context, properties: Any) -> str:
        """What the metric means."""
        metric = METRICS[properties.column]
        return told(
            Text(
                "{}: {}.\nClick to sort by it or to reverse the order",
                *(Text(metric.label), Text(metric.description)),
            )
        )

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Sort."""
        table.order_by(context.scene, self.column)
        context.window_manager.csm_retopo.table_page = 0
        return {"FINISHED"}


class CSM_RETOPO_OT_export_table(bpy.types.Operator):
    """Write all metrics of all variations to a file, a line each"""

    bl_idname = "csm_retopo.export_table"
    bl_label = "Export Table"

    filepath: StringProperty(
        name="File", description="The file to write", subtype="FILE_PATH", options={"SKIP_SAVE"}
    )
    format: EnumProperty(
        name="Format",
        description="What to write",
        items=(
            ("CSV", "CSV", "A table for spreadsheets"),
            ("JSON", "JSON", "A list of objects for programs"),
        ),
        options={"SKIP_SAVE"},
    )
    check_existing: BoolProperty(default=True, options={"HIDDEN", "SKIP_SAVE"})
    filter_glob: StringProperty(default="*.csv;*.json", options={"HIDDEN", "SKIP_SAVE"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether there is anything to write."""
        return _needs_session(cls, context)

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        """Ask for the file."""
        if not self.filepath:
            stem = Path(bpy.data.filepath).stem or "retopology"
            self.filepath = f"{stem}{_SUFFIXES[self.format]}"
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def check(self, _context: bpy.types.Context) -> bool:
        """Have the file's name end as its format wants it."""
        path = Path(self.filepath)
        suffix = _SUFFIXES[self.format]
        if path.suffix.lower() == suffix or not path.name:
            return False
        # The other format's ending is replaced, any other is part of the name.
        stem = path.stem if path.suffix.lower() in _SUFFIXES.values() else path.name
        self.filepath = str(path.with_name(f"{stem}{suffix}"))
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Write it."""
        path = Path(bpy.path.abspath(self.filepath))
        # Not with Path's own methods, which raise for a name that is too long.
        if not self.filepath or (os.path.exists(path) and not os.path.isfile(path)):
            self.report({"ERROR"}, "Name the file to write")
            return {"CANCELLED"}
        as_json = self.format == "JSON"
        if not self.properties.is_property_set("format"):
            as_json = path.suffix.lower() == ".json"
        rows = table.export_rows(context.scene)
        text = table.as_json(rows) if as_json else table.as_csv(rows)
        try:
            table.write_text(path, text)
        except OSError as error:
            text = Text("{} can't be written: {}", path, error.strerror or error)
            self.report({"ERROR"}, told(text))
            return {"CANCELLED"}
        self.report({"INFO"}, told(Text("Wrote {} variations to {}", len(rows), path.name)))
        return {"FINISHED"}


class CSM_RETOPO_OT_copy_numbers(bpy.types.Operator):
    """Copy all metrics of a variation to the clipboard, as text"""

    bl_idname = "csm_retopo.copy_numbers"
    bl_label = "Copy Numbers"

    object_name: StringProperty(
        name="Object",
        description="The variation. Left empty, the one that is shown while flipping, else the "
        "active one",
        options={"SKIP_SAVE"},
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether there is any variation."""
        return _needs_session(cls, context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Copy them."""
        obj = keeping.find_chosen(context)
        if self.object_name:
            obj = context.scene.objects.get(self.object_name)
        if obj is None or not keeping.is_variation(obj):
            self.report({"ERROR"}, "No variation is chosen: make one active, or flip to it")
            return {"CANCELLED"}
        context.window_manager.clipboard = table.as_text(obj)
        self.report({"INFO"}, told(Text("Copied the numbers of {}", obj.name)))
        return {"FINISHED"}


register, _unregister = bpy.utils.register_classes_factory(
    (
        CSM_RETOPO_OT_show_colors,
        CSM_RETOPO_OT_show_wireframe,
        CSM_RETOPO_OT_toggle_column,
        CSM_RETOPO_OT_sort_table,
        CSM_RETOPO_OT_export_table,
        CSM_RETOPO_OT_copy_numbers,
    )
)


def unregister() -> None:
    """Switch colors and wires off, since nothing will be there to do it, and take the operators
    away.
    """
    for scene in bpy.data.scenes:
        settings = scene.csm_retopo
        if settings.colors != "NONE":
            settings.colors = "NONE"
        if settings.wireframe:
            settings.wireframe = False
    _unregister()
