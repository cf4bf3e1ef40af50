"""Repair of the model's output: lost, hallucinated and misplaced words, found by independent evidence."""
