"""What a run suffers from, by its curves: the model, the optimisation, overfitting or a mismatch."""

from selfsup.diagnosis.advice import Verdict
from selfsup.diagnosis.curves import Curves, curves_of
from selfsup.diagnosis.verdict import Diagnosis, diagnose

__all__ = ["Curves", "Diagnosis", "Verdict", "curves_of", "diagnose"]
