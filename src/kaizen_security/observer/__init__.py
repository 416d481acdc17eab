"""The Observer: learns what one agent normally does and judges each action. Pure."""
