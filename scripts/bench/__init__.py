# SPDX-License-Identifier: GPL-2.0
"""What bench.py is made of: one module for each thing that is measured, and what they share."""
