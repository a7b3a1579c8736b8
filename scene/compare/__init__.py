# SPDX-License-Identifier: GPL-3.0-or-later
"""What helps to choose: table, colors, flipping in place, keeping one."""
