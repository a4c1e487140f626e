"""A running training: where it will end, whether it is on course, and forecasts kept to be scored."""
