"""The HTTP door: the protocol that answers inference itself, and the ordinary routes behind it."""
