# SPDX-License-Identifier: GPL-3.0-or-later
"""The service and its files: session model, client, downloads, cache, checks, errors.

Nothing here knows Blender. It runs on threads and where bpy is not installed.
"""
