"""Pure: Merkle tree, signed notes, checkpoints. No Django, no database, no clock."""
