"""What is minimised: by which name it is found, what it is made of, what it gets and returns."""
