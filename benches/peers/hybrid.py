#!/usr/bin/env python3
"""hnswlib and tantivy glued by hand: hybrid queries a second of one thread, without a filter and with one of 10 %.

    python3 hybrid.py FOLDER    # data.json (documents, queries, bound), vectors and asked (rows of f32, of length one)

Each query asks both for their best 100 and fuses them by rank. Ten percent are let through: tantivy by a range of
numbers, hnswlib by a set of its labels. Prints {"no filter": rate, "10 %": rate}, medians of five rounds. Installs what it needs in target/peers.
"""

import json
import pathlib
import statistics
import subprocess
import sys
import time
import venv

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "target" / "peers"
PACKAGES = {"numpy": "numpy", "hnswlib": "hnswlib==0.8.0", "tantivy": "tantivy"}
DEPTH, LIMIT, K = 100, 10, 60


def install():
    python = FOLDER / "bin" / "python"
    if not python.exists():
        venv.create(FOLDER, with_pip=True)
    for module, package in PACKAGES.items():
        if subprocess.run([python, "-c", f"import {module}"], capture_output=True).returncode != 0:
            subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", package], check=True, stdout=sys.stderr)
    return python


def measure(folder):
    import hnswlib
    import numpy
    import tantivy

    data = json.loads((folder / "data.json").read_text())
    documents, queries, bound = data["documents"], data["queries"], data["bound"]
    vectors = numpy.fromfile(folder / "vectors", dtype=numpy.float32).reshape(len(documents), -1)
    asked = numpy.fromfile(folder / "asked", dtype=numpy.float32).reshape(len(queries), -1)

    graph = hnswlib.Index("ip", vectors.shape[1])
    graph.init_index(len(documents), M=16, ef_construction=128)
    graph.add_items(vectors, numpy.arange(len(documents)), num_threads=2)
    graph.set_num_threads(1)
    graph.set_ef(DEPTH)

    schema = tantivy.SchemaBuilder()
    for name in ("title", "text"):
        schema.add_text_field(name, stored=False, tokenizer_name="en_stem")
    schema.add_integer_field("number", fast=True, indexed=True)
    schema.add_integer_field("id", fast=True, stored=True)
    index = tantivy.Index(schema.build())
    writer = index.writer(num_threads=1, heap_size=200_000_000)
    for place, (title, text, number) in enumerate(documents):
        writer.add_document(tantivy.Document(title=title, text=text, number=number, id=place))
    writer.commit()
    writer.wait_merging_threads()
    index.reload()
    searcher = index.searcher()
    # The places of documents in segments are asked once, not for each hit.
    every = searcher.search(tantivy.Query.all_query(), len(documents)).hits
    id_of = {(address.segment_ord, address.doc): searcher.doc(address)["id"][0] for _, address in every}
    within = tantivy.Query.range_query(index.schema, "number", tantivy.FieldType.Integer, 0, bound - 1)
    allowed = {place for place, (_, _, number) in enumerate(documents) if number < bound}

    def hybrid(text, vector, filtered):
        words, _ = index.parse_query_lenient(text, ["title", "text"])
        if filtered:
            words = tantivy.Query.boolean_query([(tantivy.Occur.Must, words), (tantivy.Occur.Must, within)])
        found = searcher.search(words, DEPTH, count=False).hits
        keys = [id_of[(address.segment_ord, address.doc)] for _, address in found]
        labels, _ = graph.knn_query(vector, DEPTH, filter=allowed.__contains__ if filtered else None)
        scores = {}
        for ranked in (keys, labels[0].tolist()):
            for rank, key in enumerate(ranked, 1):
                scores[key] = scores.get(key, 0.0) + 1.0 / (K + rank)
        return sorted(scores.items(), key=lambda hit: -hit[1])[:LIMIT]

    def rate(filtered):
        began = time.perf_counter()
        for text, vector in zip(queries, asked):
            hybrid(text, vector, filtered)
        return len(queries) / (time.perf_counter() - began)

    return {name: statistics.median(rate(filtered) for _ in range(5)) for name, filtered in (("no filter", False), ("10 %", True))}


if __name__ == "__main__":
    if len(sys.argv) == 2:
        sys.exit(subprocess.run([install(), __file__, sys.argv[1], "measure"]).returncode)
    print(json.dumps(measure(pathlib.Path(sys.argv[1]))))
