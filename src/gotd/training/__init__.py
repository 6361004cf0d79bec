"""What the selection is for: warm a model up on it, then fine-tune it on the task.

    documents -> windows -> language -> warm/          stage I, `gotd warmup`
    examples  -> classify | language -> tuned/         stage II, `gotd finetune`
    texts     -> encoder -> encoder/                   `gotd tune-encoder`

All three train through `loop`, on the Trainer of Hugging Face. The extra `gotd[train]` brings the libraries.
"""
