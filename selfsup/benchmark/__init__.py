"""How fast, against whom: training loops that take their steps in turn on one machine."""
