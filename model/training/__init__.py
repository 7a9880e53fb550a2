"""Training of fuser, projector and the generator's adapter; needs torch and transformers alone."""
