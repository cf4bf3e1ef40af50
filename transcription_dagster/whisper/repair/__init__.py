"""What the model lost, invented or misplaced, found by independent evidence."""
