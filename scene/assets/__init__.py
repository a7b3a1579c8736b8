# SPDX-License-Identifier: GPL-3.0-or-later
"""Variations as assets: marked for the Asset Browser, and filed in catalogs."""
