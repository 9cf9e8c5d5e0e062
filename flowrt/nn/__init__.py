"""Models: what they are, who holds them, and the doors by which guests reach them."""

import os

# numpy's linear algebra starts a thread a core when it is loaded. Nothing here multiplies matrices by it, engines have
# threads of their own that are counted, and a start takes 50 ms longer for them.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
