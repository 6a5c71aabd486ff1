"""Default timeouts of a client, in seconds."""

from __future__ import annotations

__all__ = ["CONNECT_TIMEOUT", "DEADLINE", "KEEP_LATE_ANSWERS", "READ_TIMEOUT"]

DEADLINE = 300.0
"""For a whole single call, and for each request of a batch: fifteen times the slowest answer (20 s, 2025-10)."""

CONNECT_TIMEOUT = 10.0
"""For name, connection and TLS."""

READ_TIMEOUT = 60.0
"""Without a byte of the answer: three times the slowest answer, since a request cut off is billed all the same."""

KEEP_LATE_ANSWERS = 60.0
"""For the answer of a request whose caller has gone: callers that gave up often come again soon."""
