"""gotd.select and DSIR, end to end, on real text: `python benchmarks/select.py`. See end_to_end.py."""

import os
import sys

if __name__ == "__main__":
    from end_to_end import main

    main()
elif __name__ == "select":
    # The standard library has a module of this name, and scripts here find this file before it.
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    here = os.path.dirname(os.path.realpath(__file__))
    elsewhere = [path for path in sys.path if os.path.realpath(path or os.curdir) != here]
    spec = PathFinder.find_spec("select", elsewhere)
    assert spec is not None
    assert spec.loader is not None
    sys.modules["select"] = module_from_spec(spec)
    spec.loader.exec_module(sys.modules["select"])
