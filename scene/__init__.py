# SPDX-License-Identifier: GPL-3.0-or-later
"""Meshes and objects: reading a mesh file, measuring it, placing, labelling."""
