"""The demonstration: fictional charts, the forms a report comes in, filing them, and showing how they are read."""
