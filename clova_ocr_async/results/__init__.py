"""Results in the forms that people use."""
