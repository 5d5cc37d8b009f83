"""What data not tried yet would bring: predictors, their measured skill, and what to try next."""
