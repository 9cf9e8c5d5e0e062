"""What payloads are written in: one format a file, each with its options and its codec. Pure: bytes in, bytes out."""
