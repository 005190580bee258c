# SPDX-License-Identifier: GPL-2.0
"""The parts of integrate.py: anchors (text only), tree (files), plan (what to write)."""
