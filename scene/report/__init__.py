# SPDX-License-Identifier: GPL-3.0-or-later
"""What is written about sessions: report.json, the page, its pictures, the contact sheet."""
