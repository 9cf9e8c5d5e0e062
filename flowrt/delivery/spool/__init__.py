"""What waits on disk for a sink whose other side is away: a bounded log of segments, drained in order."""
