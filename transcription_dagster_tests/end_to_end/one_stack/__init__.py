"""Tests that disturb a stack and leave it whole: one serves them all, since its start costs more than most of them."""
