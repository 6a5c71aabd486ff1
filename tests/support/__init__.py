"""Doubles, samples and helpers of the tests."""
