"""The gRPC door: the protocol's methods over HTTP/2."""
