"""Generates the project's training data: instruction samples and intents. script/training_data is the command."""
