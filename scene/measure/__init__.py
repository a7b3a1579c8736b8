# SPDX-License-Identifier: GPL-3.0-or-later
"""Meshes in numbers: what is measured, and how."""
