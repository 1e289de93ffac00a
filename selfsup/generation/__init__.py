"""HOW sequences are written, and how likely they are: continuations and likelihoods of a causal or masked model."""
