"""From a user's text to a Plan: pure, synchronous, without engine, broker or model."""
