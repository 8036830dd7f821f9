"""What protoc made of proto/*.proto, by `python proto/generate.py`. Not edited by hand; only the gRPC door reads it."""
