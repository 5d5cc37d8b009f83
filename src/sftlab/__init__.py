"""sftlab: a laboratory for supervised fine-tuning."""
