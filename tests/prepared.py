"""What a run imports on its way, for the server that the `forked` processes of the tests come from."""

from importlib import import_module

for name in ("pandas", "pyarrow.dataset", "safetensors.torch", "sklearn.cluster", "sklearn.decomposition"):
    import_module(name)
for name in ("gotd.pipeline", "gotd.encoders.lsa", "gotd.engine.processes"):
    import_module(name)
