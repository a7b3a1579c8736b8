# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person does in the window: a generator function an act. Runs inside Blender."""
