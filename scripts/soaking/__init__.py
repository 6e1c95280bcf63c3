"""The soak: its service, what it is asked, what breaks meanwhile, and what is measured."""
