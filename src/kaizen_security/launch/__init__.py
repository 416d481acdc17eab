"""``kaizen run``: an agent started so that what it does is seen, and what it may not do is stopped, whatever it asks for."""
