"""Nodes in a process of their own: what native code or an engine does wrong there ends that process and no other."""
