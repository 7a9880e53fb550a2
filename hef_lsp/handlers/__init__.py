"""One short function for each LSP method: from the protocol's types to the session and back."""
