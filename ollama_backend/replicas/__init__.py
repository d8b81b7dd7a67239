"""Several replicas of this server as one: what they share through Redis or Valkey."""
