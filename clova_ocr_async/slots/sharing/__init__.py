"""What ``shared_slots`` is made of: the gate that processes share, its file, the visits to it, and the bell."""
