"""What people run beside the program: setting up a checkout, building its documentation."""
