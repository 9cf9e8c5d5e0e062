"""Small libraries in C between a process and the kernel (LD_PRELOAD): a disk that forgets, a clock that is set."""
