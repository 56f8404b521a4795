#!/usr/bin/env python3
"""Vector indexes of other projects, driven by `benches/vector`: one process an index, one JSON line a request.

    python3 vector.py install    # once, in target/peers; prints the interpreter to use and what could not be had
    python vector.py ENGINE      # hnswlib, faiss, usearch-f32 or usearch-f16

    {"do": "open", "dimensions": 384, "m": 16, "ef_construction": 128, "queries": FILE}
    {"do": "write", "slots": FILE, "vectors": FILE, "threads": 2}    # adds; a slot that is there is replaced
    {"do": "search", "ef": 64, "threads": 1, "allowed": FILE or null, "hits": FILE}

Vectors are rows of f32 of length one, slots and hits u32 (4294967295: no hit), `allowed` has a byte a slot. An answer
has what the library's own call took, by the clock and as processor time of all threads. It is handed all vectors or
queries at once: Python's part in it is next to nothing. The one exception is hnswlib's filter, a Python function that is called for each vector it meets.
"""

import json
import os
import pathlib
import subprocess
import sys
import time
import venv

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "target" / "peers"
PACKAGES = {"numpy": "numpy", "hnswlib": "hnswlib==0.8.0", "faiss": "faiss-cpu==1.15.1", "usearch": "usearch==2.26.6"}
LIMIT = 10
NO_HIT = 2**32 - 1


def install():
    python = FOLDER / "bin" / "python"
    if not python.exists():
        venv.create(FOLDER, with_pip=True)
    failed = {}
    for module, package in PACKAGES.items():
        wanted = [python, "-c", f"import {module}"]
        if subprocess.run(wanted, capture_output=True).returncode == 0:
            continue
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", package]
        done = subprocess.run(pip, capture_output=True, text=True)
        if done.returncode != 0:
            failed[module] = (done.stderr.strip().splitlines() or ["pip failed"])[-1]
    return {"python": str(python), "failed": failed}


class Hnswlib:
    def __init__(self, dimensions, m, ef_construction):
        import hnswlib

        self.index = hnswlib.Index("ip", dimensions)
        self.index.init_index(1, M=m, ef_construction=ef_construction, allow_replace_deleted=False)

    def write(self, slots, vectors, threads):
        room = int(slots.max()) + 1
        if room > self.index.get_max_elements():
            self.index.resize_index(room)
        self.index.add_items(vectors, slots, num_threads=threads)

    def search(self, queries, ef, threads, allowed):
        self.index.set_ef(ef)
        flags = None if allowed is None else allowed.astype(bool).tolist().__getitem__
        return lambda: self.index.knn_query(queries, LIMIT, num_threads=threads, filter=flags)[0]


class Faiss:
    def __init__(self, dimensions, m, ef_construction):
        import faiss

        self.faiss = faiss
        self.index = faiss.IndexHNSWFlat(dimensions, m, faiss.METRIC_INNER_PRODUCT)
        self.index.hnsw.efConstruction = ef_construction

    def write(self, slots, vectors, threads):
        if int(slots[0]) != self.index.ntotal or int(slots[-1]) - int(slots[0]) + 1 != len(slots):
            raise ValueError("faiss HNSW cannot replace vectors")
        self.faiss.omp_set_num_threads(threads)
        self.index.add(vectors)

    def search(self, queries, ef, threads, allowed):
        self.faiss.omp_set_num_threads(threads)
        parameters = self.faiss.SearchParametersHNSW(efSearch=ef)
        if allowed is not None:
            import numpy

            parameters.sel = self.faiss.IDSelectorBitmap(numpy.packbits(allowed, bitorder="little"))
        return lambda: self.index.search(queries, LIMIT, params=parameters)[1]


class Usearch:
    def __init__(self, dimensions, m, ef_construction, dtype):
        from usearch.index import Index

        self.index = Index(
            ndim=dimensions, metric="ip", dtype=dtype, connectivity=m, expansion_add=ef_construction
        )

    def write(self, slots, vectors, threads):
        present = slots[self.index.contains(slots)] if len(self.index) else slots[:0]
        if len(present):
            self.index.remove(present, threads=threads)
        self.index.add(slots, vectors, threads=threads)

    def search(self, queries, ef, threads, allowed):
        if allowed is not None:
            raise ValueError("usearch has no filter in Python")
        self.index.expansion_search = ef

        def call():
            found = self.index.search(queries, LIMIT, threads=threads)
            hits = found.keys.copy()
            for row, count in enumerate(found.counts):
                hits[row, count:] = NO_HIT
            return hits

        return call


ENGINES = {
    "hnswlib": Hnswlib,
    "faiss": Faiss,
    "usearch-f32": lambda *settings: Usearch(*settings, "f32"),
    "usearch-f16": lambda *settings: Usearch(*settings, "f16"),
}


def resident_bytes():
    """Anonymous memory: the mapped files of vectors do not count."""
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("RssAnon"):
                return int(line.split()[1]) * 1024


def rows(path, dimensions):
    import numpy

    return numpy.memmap(path, "<f4", "r").reshape(-1, dimensions)


class Session:
    def __init__(self, engine):
        self.engine = engine

    def open(self, request):
        self.dimensions = request["dimensions"]
        self.queries = rows(request["queries"], self.dimensions)
        self.index = ENGINES[self.engine](self.dimensions, request["m"], request["ef_construction"])
        self.resident_before = resident_bytes()
        return {}

    def write(self, request):
        import numpy

        slots = numpy.fromfile(request["slots"], "<u4").astype("<u8")
        vectors = rows(request["vectors"], self.dimensions)
        began, spent = time.perf_counter(), time.process_time()
        self.index.write(slots, vectors, request["threads"])
        return {
            "seconds": time.perf_counter() - began,
            "core_seconds": time.process_time() - spent,
            "resident_bytes": resident_bytes() - self.resident_before,
        }

    def search(self, request):
        import numpy

        allowed = request["allowed"] and numpy.fromfile(request["allowed"], "u1")
        call = self.index.search(self.queries, request["ef"], request["threads"], allowed)
        began = time.process_time()
        hits = call()
        spent = time.process_time() - began
        # A missing hit is -1 in faiss.
        numpy.asarray(hits).astype("<i8").astype("<u4").tofile(request["hits"])
        return {"core_seconds": spent}


def main():
    if sys.argv[1:] == ["install"]:
        print(json.dumps(install()))
        return
    session = Session(sys.argv[1])
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(session, request["do"])(request)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    # Threads that wait for work would take the cores of whoever is measured next.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    main()
