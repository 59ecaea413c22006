"""A simulated PandA: its two TCP ports, its box and its world."""
