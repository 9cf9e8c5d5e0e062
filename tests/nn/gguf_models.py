"""A language model of a few kilobytes with random weights, written with the `gguf` package."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

WIDE, HEADS, INNER, BLOCKS = 32, 2, 64, 1
CONTEXT = 128


def write(path: Path, seed: int = 0) -> Path:
    """Of the llama family; its words are the 256 bytes. It babbles, always the same at temperature 0."""
    random = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name("babble")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDE)
    writer.add_block_count(BLOCKS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDE // HEADS)
    words = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    kinds = [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL, *[gguf.TokenType.BYTE] * 256]
    writer.add_tokenizer_model("llama")
    writer.add_token_list(words)
    writer.add_token_scores([0.0] * len(words))
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_add_space_prefix(False)

    def weight(*shape: int) -> np.ndarray:
        return random.normal(scale=0.3, size=shape).astype("f4")

    ones = np.ones(WIDE, "f4")
    tensors = {"token_embd.weight": weight(len(words), WIDE), "output_norm.weight": ones}
    tensors["output.weight"] = weight(len(words), WIDE)
    tensors["output.weight"][:3] = 0  # it does not end by itself: some other word is always likelier
    for block in range(BLOCKS):
        name = f"blk.{block}."
        tensors |= {f"{name}attn_{part}.weight": weight(WIDE, WIDE) for part in ("q", "k", "v", "output")}
        tensors |= {name + "attn_norm.weight": ones, name + "ffn_norm.weight": ones}
        tensors |= {name + "ffn_gate.weight": weight(INNER, WIDE), name + "ffn_up.weight": weight(INNER, WIDE)}
        tensors[name + "ffn_down.weight"] = weight(WIDE, INNER)
    for name, tensor in tensors.items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
