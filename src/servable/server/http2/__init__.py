"""HTTP/2, the server's side. Knows nothing of gRPC."""
