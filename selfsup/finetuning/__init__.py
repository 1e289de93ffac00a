"""How a pretrained model learns a task, and what its pretraining was worth."""
