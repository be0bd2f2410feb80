"""What a run hands over: its matrix, its state, its loop."""
