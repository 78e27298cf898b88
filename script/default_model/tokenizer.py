#!/usr/bin/env python3
"""Trains the byte-level BPE tokenizer: tokenizer.py --corpus corpus.jsonl.xz --out DIR

Split pattern of Llama 3 with one change: numbers are split into single digits (\\p{N} for \\p{N}{1,3}), so that a figure is copied
digit by digit and never depends on how three digits happened to be merged. 8,192 entries with the special tokens.
"""
import argparse, json, lzma, pathlib

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

special = ["<|endoftext|>", "<|begin_of_text|>", "<|im_start|>", "<|im_end|>", "<|pad|>"]
pattern = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
template = ("{{ bos_token }}{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
            "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")


def texts(path, stride):
    for number, line in enumerate(lzma.open(path, "rt")):
        if number % stride == 0:
            yield json.loads(line)["text"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--corpus", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--stride", type=int, default=3, help="train on every n-th document")
    options = parser.parse_args()
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=8192, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                                  max_token_length=16)
    tokenizer.train_from_iterator(texts(options.corpus, options.stride), trainer)
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single="<|begin_of_text|> $A", pair="<|begin_of_text|> $A <|begin_of_text|> $B",
                                      special_tokens=[("<|begin_of_text|>", special.index("<|begin_of_text|>"))])])
    options.out.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(options.out / "tokenizer.json"))
    (options.out / "tokenizer_config.json").write_text(json.dumps({
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|begin_of_text|>", "eos_token": "<|im_end|>",
        "pad_token": "<|pad|>", "model_max_length": 2048, "clean_up_tokenization_spaces": False, "chat_template": template}, indent=1))
    print(tokenizer.get_vocab_size(), "entries")


if __name__ == "__main__":
    main()
