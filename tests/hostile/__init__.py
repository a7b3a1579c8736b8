# SPDX-License-Identifier: GPL-3.0-or-later
"""Files made to break whoever reads them: a corpus of named cases, and mutants of it without end.

Nothing here is a test, and nothing needs Blender. tests/api, tests/blender and tests/soak use it.
"""
