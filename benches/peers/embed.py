#!/usr/bin/env python3
"""onnxruntime and a reference in float64, beside MiniLM run by Millpond: see `benches/embed.rs`, which calls it.

    python3 embed.py MODEL WORK

MODEL is a folder of sentence-transformers, WORK has NAME.json (texts, and texts/s of a core by Millpond) and NAME.f32
(its vectors). Both runtimes get texts in batches of 32, and their processor time counts. onnxruntime runs the graph that
Millpond writes, once as it is and once fused by its own tool for BERT, whichever is faster; its batches are of texts
sorted by length too.
"""

import json
import math
import pathlib
import subprocess
import sys
import time
import venv

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "target" / "peers"
PACKAGES = ["numpy", "scipy", "onnxruntime==1.31.1", "onnx", "safetensors", "tokenizers", "sympy"]
SECONDS = 4.0


def install():
    """Goes on in an interpreter that has what is needed."""
    python = FOLDER / "bin" / "python"
    if not python.exists():
        venv.create(FOLDER, with_pip=True, clear=True)
    wanted = "import numpy, scipy, onnxruntime, onnx, safetensors, tokenizers, sympy"
    if subprocess.run([python, "-c", wanted], capture_output=True).returncode != 0:
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES], check=True)
    sys.exit(subprocess.run([python, __file__, *sys.argv[1:], "--installed"]).returncode)


def figure(name, value, unit):
    print(f"{name:<58} {value:>14.6g} {unit}")
    print(json.dumps({"bench": "embed", "figure": name, "value": value, "unit": unit}), flush=True)


class Reference:
    """BERT in float64, a text at a time, so that nothing is padded."""

    def __init__(self, model):
        from safetensors.numpy import load_file

        self.weights = {name: value.astype("float64") for name, value in load_file(model / "model.safetensors").items()}
        self.config = json.loads((model / "config.json").read_text())

    def embed(self, ids):
        import numpy
        from scipy.special import erf

        weights, config = self.weights, self.config
        heads, hidden = config["num_attention_heads"], config["hidden_size"]

        def normal(x, name):
            mean = x.mean(-1, keepdims=True)
            spread = ((x - mean) ** 2).mean(-1, keepdims=True)
            scaled = (x - mean) / numpy.sqrt(spread + config["layer_norm_eps"])
            return scaled * weights[name + ".weight"] + weights[name + ".bias"]

        def linear(x, name):
            return x @ weights[name + ".weight"].T + weights[name + ".bias"]

        def split(x):
            return x.reshape(len(ids), heads, hidden // heads).transpose(1, 0, 2)

        x = weights["embeddings.word_embeddings.weight"][ids]
        x = x + weights["embeddings.position_embeddings.weight"][: len(ids)]
        x = normal(x + weights["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
        for layer in range(config["num_hidden_layers"]):
            name = f"encoder.layer.{layer}."
            q, k, v = (split(linear(x, name + "attention.self." + part)) for part in ("query", "key", "value"))
            scores = q @ k.transpose(0, 2, 1) / math.sqrt(hidden // heads)
            scores = numpy.exp(scores - scores.max(-1, keepdims=True))
            seen = (scores / scores.sum(-1, keepdims=True) @ v).transpose(1, 0, 2).reshape(len(ids), hidden)
            x = normal(x + linear(seen, name + "attention.output.dense"), name + "attention.output.LayerNorm")
            wide = linear(x, name + "intermediate.dense")
            wide = wide * 0.5 * (1 + erf(wide / math.sqrt(2)))
            x = normal(x + linear(wide, name + "output.dense"), name + "output.LayerNorm")
        mean = x.mean(0)
        return mean / numpy.linalg.norm(mean)


class Onnx:
    def __init__(self, path):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def embed(self, batch):
        import numpy

        tokens = max(map(len, batch))
        ids, mask = numpy.zeros((2, len(batch), tokens), dtype="int32")
        for row, found in enumerate(batch):
            ids[row, : len(found)], mask[row, : len(found)] = found, 1
        places = numpy.arange(tokens, dtype="int32")[None]
        given = {"input_ids": ids, "attention_mask": mask, "position_ids": places}
        hidden = self.session.run(None, given)[0]
        mean = (hidden * mask[:, :, None]).sum(1) / mask.sum(1, keepdims=True)
        return mean / numpy.linalg.norm(mean, axis=1, keepdims=True)

    def rate(self, texts, tokenizer):
        began, count = time.process_time(), 0
        while True:
            start = count % len(texts)
            batch = [found.ids for found in tokenizer.encode_batch_fast(texts[start : start + 32])]
            for part in alike(batch):
                self.embed(part)
            count += len(batch)
            spent = time.process_time() - began
            if spent > SECONDS:
                return count / spent


def alike(batch):
    """The same rule as `src/embed/local/batches.rs`: a token in eight may be padding."""
    parts = []
    for ids in sorted(batch, key=len, reverse=True):
        longest = len(parts[-1][0]) if parts else 0
        if parts and len(ids) + longest // 8 + 2 >= longest and (len(parts[-1]) + 1) * longest <= 4096:
            parts[-1].append(ids)
        else:
            parts.append([ids])
    return parts


def main():
    import numpy
    from tokenizers import Tokenizer

    model, work = map(pathlib.Path, sys.argv[1:3])
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    tokenizer.enable_truncation(256)
    tokenizer.no_padding()
    graphs = [work / "minilm.onnx"]
    try:
        from onnxruntime.transformers import optimizer

        fused = optimizer.optimize_model(str(graphs[0]), model_type="bert", num_heads=12, hidden_size=384)
        fused.save_model_to_file(str(work / "fused.onnx"))
        graphs.append(work / "fused.onnx")
    except Exception as error:  # The tool is no part of what is compared.
        print(f"skipped: onnxruntime's tool for BERT: {error}")
    peers = [Onnx(graph) for graph in graphs]
    for name in ("64", "products", "abstracts"):
        given = json.loads((work / f"{name}.json").read_text())
        best = max(peer.rate(given["texts"], tokenizer) for peer in peers)
        figure(f"peer: onnxruntime, {name}, one core, batches of 32", best, "texts/s")
        figure(f"MiniLM, {name}: over onnxruntime, goal at least 0.8", given["rate"] / best, "")
    reference = Reference(model)
    ours = numpy.fromfile(work / "abstracts.f32", dtype="float32").reshape(-1, 384)
    texts = json.loads((work / "abstracts.json").read_text())["texts"]
    found = tokenizer.encode_batch_fast(texts)
    cosines = [float(reference.embed(ids.ids) @ vector / numpy.linalg.norm(vector)) for ids, vector in zip(found, ours)]
    figure(f"MiniLM, {len(cosines)} abstracts: least cosine with float64", min(cosines), "")


if __name__ == "__main__":
    main() if "--installed" in sys.argv else install()
