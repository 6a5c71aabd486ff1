"""Requests after a failure: the policy, its budget, the circuit breakers, and the choice of a domain."""
