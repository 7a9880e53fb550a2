"""From source archives to training records, and the commands' side of training."""
