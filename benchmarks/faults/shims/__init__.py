"""Small libraries in C that stand between a process and the kernel (LD_PRELOAD): a disk that forgets, a clock that is set."""
