"""Tests that disturb a stack and leave it intact. They share one, because its start takes longer than most of them."""
