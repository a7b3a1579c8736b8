# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures the import against the obvious script and against what can't be done without.

`python tests/bench`, in an environment whose `import bpy` gives a Blender, runs it all.
"""
