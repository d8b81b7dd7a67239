"""What every HTTP surface stands on."""
