"""Results of images in the forms that people use."""
