"""What training was worth: figures of a model on texts that it was not trained on.

perplexity        nats a token, perplexity, bits a byte of any text
utility           bits a byte of text like that of the pretraining, and what was forgotten of it
classification    accuracy, F1 and MCC on labelled examples, with intervals
zero_shot         the same without training, by the likelihood of the labels' words
tasks             any task of lm-evaluation-harness, by that library
toxicity          of what a model writes after given prompts
"""
