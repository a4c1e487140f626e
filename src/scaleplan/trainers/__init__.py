"""The training configs of trainers: each is recognised by its content, and read without running anything."""
