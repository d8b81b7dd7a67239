"""Realtime sessions over WebSocket."""
