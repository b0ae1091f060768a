"""The gateway agent: pure rules, in-memory runs, and real packets in `netns`."""
