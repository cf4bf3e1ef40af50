"""Tests of what several homes and machines share, on one stack."""
