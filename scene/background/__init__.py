# SPDX-License-Identifier: GPL-3.0-or-later
"""The background Blenders, and what is done in them to meshes."""
