"""Study minus what the store holds = tasks still to do, and their cost."""
