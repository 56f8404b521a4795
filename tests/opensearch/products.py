"""Drives a node with opensearch-py, and compares its answers with a plain model of the rows.

Usage: products.py URL. The node has the index `products` of tests/opensearch.rs, and nothing in it.
"""

import math
import random
import sys

from opensearchpy import OpenSearch, RequestError, NotFoundError, ConflictError, helpers

URL = sys.argv[1]
INDEX = "products"
client = OpenSearch(URL)
randoms = random.Random(7)

NOUNS = ["shoe", "boot", "lamp", "phone", "chair", "case"]
ADJECTIVES = ["red", "blue", "durable", "soft", "large"]
CATEGORIES = ["shoes", "home", "electronics", "it's odd/50%"]


def row(number):
    angle = randoms.random() * 2 * math.pi
    return {
        "id": number,
        "name": " ".join(randoms.sample(ADJECTIVES, 2) + [randoms.choice(NOUNS)]),
        "description": " ".join(randoms.choices(ADJECTIVES + NOUNS, k=6)),
        "category": randoms.choice(CATEGORIES),
        "price": randoms.randrange(0, 40000) / 100,
        "stock": randoms.choice([None, 0, 1, 2, 3]),
        "made": "2026-%02d-%02dT%02d:30:00.000000Z" % (randoms.randrange(1, 13), randoms.randrange(1, 29), randoms.randrange(24)),
        "sold": randoms.choice([True, False, None]),
        "embedding": [math.cos(angle), math.sin(angle), randoms.random(), 0.0],
    }


ROWS = {str(number): row(number) for number in range(1, 301)}


def equal(found, expected, what=""):
    assert found == expected, f"{what}: found {found!r}, expected {expected!r}"


def ids(answer):
    return [hit["_id"] for hit in answer["hits"]["hits"]]


def words(row, field):
    return row[field].split()


def search(query=None, **more):
    body = dict(more)
    if query is not None:
        body["query"] = query
    return client.search(index=INDEX, body=body)


def matching(query, holds, what=""):
    """A query finds just the rows for which something holds, and counts them."""
    expected = sorted(id for id, row in ROWS.items() if holds(row))
    answer = search(query, size=1000)
    equal(sorted(ids(answer)), expected, what or str(query))
    equal(answer["hits"]["total"], {"value": len(expected), "relation": "eq"}, str(query))
    equal(client.count(index=INDEX, body={"query": query})["count"], len(expected), str(query))
    scores = [hit["_score"] for hit in answer["hits"]["hits"]]
    equal(scores, sorted(scores, reverse=True), str(query))
    equal(answer["hits"]["max_score"], scores[0] if scores else None, str(query))
    return answer


def refused(call, status, named):
    try:
        answer = call()
    except (RequestError, NotFoundError, ConflictError) as error:
        equal(error.status_code, status)
        reason = error.info["error"]["reason"]
        assert named in reason, reason
        equal(error.info["status"], status)
        return error
    raise AssertionError(f"not refused: {answer}")


def about():
    info = client.info()
    equal(info["version"]["distribution"], "opensearch")
    assert client.ping()
    equal(client.cluster.health()["status"], "green")
    assert client.indices.exists(index=INDEX)
    assert not client.indices.exists(index="others")
    properties = client.indices.get_mapping(index=INDEX)[INDEX]["mappings"]["properties"]
    equal(properties["name"], {"type": "text"})
    equal(properties["category"], {"type": "keyword"})
    equal(properties["price"], {"type": "double"})
    equal(properties["embedding"], {"type": "knn_vector", "dimension": 4})
    equal(client.cat.indices(format="json")[0]["docs.count"], "0")


def writes():
    actions = ({"_index": INDEX, "_id": id, "_source": row} for id, row in ROWS.items())
    done, errors = helpers.bulk(client, actions, chunk_size=90, refresh="wait_for")
    equal((done, errors), (len(ROWS), []))
    equal(client.cat.indices(format="json")[0]["docs.count"], str(len(ROWS)))
    assert " 300 " in client.cat.indices()

    extra = {"name": "green kettle", "category": "home", "price": 1}
    answer = client.index(index=INDEX, id="1000", body=extra, refresh=True)
    equal((answer["result"], answer["_id"]), ("created", "1000"))
    got = client.get(index=INDEX, id="1000")
    assert got["found"]
    equal(got["_source"]["id"], 1000, "the key fills its column")
    equal(got["_source"]["name"], "green kettle")
    answer = client.index(index=INDEX, id="1000", body={**extra, "price": 2}, refresh="wait_for")
    equal(answer["result"], "updated")
    equal(client.get(index=INDEX, id="1000", _source_includes="price")["_source"], {"price": 2})
    refused(lambda: client.create(index=INDEX, id="1000", body=extra), 409, "already exists")
    refused(lambda: client.index(index=INDEX, body=extra), 400, "none can be made")
    refused(lambda: client.index(index=INDEX, id="5", body={"id": 6}), 400, "[_id] is [5]")
    refused(lambda: client.update(index=INDEX, id="5", body={"doc": {}}), 400, "_update")
    assert client.exists(index=INDEX, id="1000")
    answer = client.delete(index=INDEX, id="1000", refresh=True)
    equal(answer["result"], "deleted")
    assert not client.exists(index=INDEX, id="1000")
    try:
        client.get(index=INDEX, id="1000")
        raise AssertionError("a deleted document was found")
    except NotFoundError as error:
        equal(error.info["found"], False)

    mixed = [
        {"index": {"_index": INDEX, "_id": "2000"}}, {"name": "one"},
        {"create": {"_index": INDEX, "_id": "2000"}}, {"name": "two"},
        {"index": {"_index": INDEX, "_id": "2001"}}, {"price": "no number at all"},
        {"index": {"_index": INDEX, "_id": "2002"}}, {"embedding": [1, 2]},
        {"update": {"_index": INDEX, "_id": "2000"}}, {"doc": {"name": "three"}},
        {"delete": {"_index": INDEX, "_id": "2000"}},
        {"delete": {"_index": INDEX, "_id": "2003"}},
    ]
    answer = client.bulk(body=mixed, refresh=True)
    assert answer["errors"]
    items = [next(iter(item.items())) for item in answer["items"]]
    equal([(kind, item["status"]) for kind, item in items], [
        ("index", 201), ("create", 409), ("index", 400), ("index", 400), ("update", 400), ("delete", 200), ("delete", 404),
    ], str(items))
    equal(items[2][1]["error"]["type"], "mapper_parsing_exception")
    assert "price" in items[2][1]["error"]["reason"], items[2]
    equal(client.count(index=INDEX)["count"], len(ROWS))


def queries():
    matching({"match_all": {}}, lambda row: True)
    matching({"match_none": {}}, lambda row: False)
    either = lambda row: bool({"durable", "boot"} & set(words(row, "name")))
    both = lambda row: {"durable", "boot"} <= set(words(row, "name"))
    matching({"match": {"name": "durable boot"}}, either)
    matching({"match": {"name": {"query": "Durable boot", "operator": "and"}}}, both)
    matching({"match": {"name": {"query": "durable boot", "minimum_should_match": "100%"}}}, both)
    matching({"match": {"name": "durabel"}}, lambda row: False, "no typing errors unless asked")
    matching({"match": {"name": {"query": "durabel", "fuzziness": "AUTO"}}}, lambda row: "durable" in words(row, "name"))
    in_either = lambda row: "lamp" in words(row, "name") + words(row, "description")
    matching({"multi_match": {"query": "lamp", "fields": ["name^3", "desc*"]}}, in_either)
    one_field = lambda row: any({"red", "lamp"} <= set(words(row, field)) for field in ("name", "description"))
    matching({"multi_match": {"query": "red lamp", "fields": ["name", "description"], "operator": "and"}}, one_field)
    across = lambda row: {"red", "lamp"} <= set(words(row, "name") + words(row, "description"))
    matching({"multi_match": {"query": "red lamp", "fields": ["name", "description"], "operator": "and", "type": "cross_fields"}}, across)
    matching({"match_phrase": {"description": "red shoe"}}, lambda row: "red shoe" in row["description"])
    matching({"term": {"name": "boot"}}, lambda row: "boot" in words(row, "name"))
    refused(lambda: search({"term": {"name": "Boot"}}), 400, "[match]")

    odd = CATEGORIES[3]
    matching({"term": {"category": "shoes"}}, lambda row: row["category"] == "shoes")
    matching({"term": {"category.keyword": {"value": odd}}}, lambda row: row["category"] == odd)
    matching({"match": {"category": odd}}, lambda row: row["category"] == odd)
    matching({"terms": {"category": ["home", odd]}}, lambda row: row["category"] in ("home", odd))
    matching({"terms": {"stock": [1, 3]}}, lambda row: row["stock"] in (1, 3))
    matching({"term": {"sold": True}}, lambda row: row["sold"] is True)
    matching({"prefix": {"category": "ho"}}, lambda row: row["category"].startswith("ho"))
    matching({"prefix": {"category": "it's odd/50%"}}, lambda row: row["category"] == odd)
    matching({"prefix": {"name": "dur"}}, lambda row: "durable" in words(row, "name"))
    matching({"exists": {"field": "stock"}}, lambda row: row["stock"] is not None)
    matching({"exists": {"field": "name"}}, lambda row: True)
    matching({"ids": {"values": ["1", "7", "007", "9999"]}}, lambda row: row["id"] in (1, 7))
    matching({"term": {"_id": "7"}}, lambda row: row["id"] == 7)
    matching({"range": {"price": {"gte": 100, "lt": 200.5}}}, lambda row: 100 <= row["price"] < 200.5)
    matching({"range": {"stock": {"gt": 1}}}, lambda row: (row["stock"] or 0) > 1)
    matching({"range": {"made": {"lte": "2026-06-14"}}}, lambda row: row["made"] < "2026-06-15")
    matching({"range": {"made": {"gt": "2026-06-14"}}}, lambda row: row["made"] >= "2026-06-15")
    matching({"range": {"made": {"gte": "2026-06-14T12:00:00Z", "lt": "2026-07-01"}}}, lambda row: "2026-06-14T12" <= row["made"] < "2026-07")
    day = ROWS["3"]["made"][:10]
    matching({"term": {"made": day}}, lambda row: row["made"].startswith(day))

    def is_cheap(row):
        return row["price"] <= 200

    matching(
        {"bool": {"must": [{"match": {"name": "durable"}}], "filter": [{"range": {"price": {"lte": 200}}}], "must_not": {"term": {"category": "home"}}}},
        lambda row: "durable" in words(row, "name") and is_cheap(row) and row["category"] != "home",
    )
    matching({"bool": {"filter": {"range": {"price": {"lte": 200}}}, "should": [{"match": {"name": "boot"}}]}}, is_cheap, "should is optional beside a filter")
    matching({"bool": {"must_not": [{"term": {"category": "home"}}]}}, lambda row: row["category"] != "home")
    matching({"bool": {}}, lambda row: True)
    matching({"bool": {"must": [{"match_none": {}}, {"match_all": {}}]}}, lambda row: False)
    three = [{"match": {"name": "red"}}, {"match": {"description": "lamp"}}, {"term": {"category": "home"}}]
    holds = lambda row: ["red" in words(row, "name"), "lamp" in words(row, "description"), row["category"] == "home"]
    matching({"bool": {"should": three}}, lambda row: any(holds(row)))
    matching({"bool": {"should": three, "minimum_should_match": 2}}, lambda row: sum(holds(row)) >= 2)
    matching({"bool": {"should": three, "minimum_should_match": "-1"}}, lambda row: sum(holds(row)) >= 2)
    matching({"bool": {"should": three, "minimum_should_match": 4}}, lambda row: False)
    matching({"constant_score": {"filter": {"term": {"category": "home"}}, "boost": 3}}, lambda row: row["category"] == "home")
    equal(search({"constant_score": {"filter": {"match": {"name": "red"}}, "boost": 3}})["hits"]["max_score"], 3.0)
    equal(search({"bool": {"filter": {"match": {"name": "red"}}}})["hits"]["max_score"], 0.0)
    matching({"query_string": {"query": "name:durable AND (category:home OR price:7) NOT boot", "default_field": "name"}},
             lambda row: "durable" in words(row, "name") and (row["category"] == "home" or row["price"] == 7) and "boot" not in words(row, "name"))
    matching({"query_string": {"query": "\"red shoe\" lam*", "fields": ["description"], "default_operator": "and"}},
             lambda row: "red shoe" in row["description"] and "lamp" in words(row, "description"))
    matching({"simple_query_string": {"query": "durable + (lamp | boot) + -red", "fields": ["name"]}},
             lambda row: "durable" in words(row, "name") and {"lamp", "boot"} & set(words(row, "name")) and "red" not in words(row, "name"))
    matching({"simple_query_string": {"query": "\"red ((", "fields": ["name"]}}, lambda row: "red" in words(row, "name"))


def pages():
    query = {"match": {"name": "red"}}
    everything = ids(search(query, size=300))
    found = []
    for start in range(0, len(everything) + 7, 7):
        found += ids(search(query, size=7, **{"from": start}))
    equal(found, everything)
    equal(search(query, size=2, **{"from": 3})["hits"]["max_score"], search(query)["hits"]["max_score"])
    equal(len(ids(search())), 10)
    equal(ids(search(size=0)), [])
    few = search(query, track_total_hits=3)["hits"]["total"]
    equal(few, {"value": 3, "relation": "gte"})
    assert "total" not in search(query, track_total_hits=False)["hits"]
    scores = [hit["_score"] for hit in search(query, size=300)["hits"]["hits"]]
    least = scores[4]
    above = search(query, min_score=least, size=300)
    equal(len(ids(above)), sum(score >= least for score in scores))
    equal(above["hits"]["total"]["value"], len(ids(above)))


def sorted_by():
    def key(row):
        return (row["stock"] is None, -(row["stock"] or 0), row["price"], str(row["id"]))

    sort = [{"stock": {"order": "desc"}}, "price", "_id"]
    expected = [str(row["id"]) for row in sorted(ROWS.values(), key=key)]
    answer = search(size=300, sort=sort)
    equal(ids(answer), expected)
    equal(answer["hits"]["max_score"], None)
    equal(answer["hits"]["hits"][0]["_score"], None)
    found, after = [], None
    while True:
        page = search(size=23, sort=sort, **({"search_after": after} if after else {}))
        equal(page["hits"]["total"]["value"], len(ROWS), "all are counted on each page")
        if not page["hits"]["hits"]:
            break
        found += ids(page)
        after = page["hits"]["hits"][-1]["sort"]
    equal(found, expected)
    for key, values in [("made", lambda row: row["made"]), ("category", lambda row: row["category"]), ("sold", lambda row: (row["sold"] is None, row["sold"] or False))]:
        expected = [str(row["id"]) for row in sorted(ROWS.values(), key=lambda row: (values(row), str(row["id"])))]
        first = search(size=100, sort=[{key: "asc"}, {"_id": "asc"}])
        last = first["hits"]["hits"][-1]["sort"]
        second = search(size=200, sort=[{key: "asc"}, {"_id": "asc"}], search_after=last)
        equal(ids(first) + ids(second), expected, key)
    missing = search(size=1, sort=[{"stock": {"order": "asc", "missing": "_first"}}])
    equal(missing["hits"]["hits"][0]["sort"], [None])
    query = {"match": {"name": "red"}}
    by_score = search(query, size=300, sort=["_score", {"_id": "asc"}])
    equal(ids(by_score), ids(search(query, size=300)))
    halfway = by_score["hits"]["hits"][20]["sort"]
    rest = search(query, size=300, sort=["_score", {"_id": "asc"}], search_after=halfway)
    equal(ids(rest), ids(by_score)[21:])
    equal(client.search(index=INDEX, q="name:red", size=3, sort="price:desc")["hits"]["hits"][0]["_id"],
          str(max((row for row in ROWS.values() if "red" in words(row, "name")), key=lambda row: row["price"])["id"]))


def shown():
    hit = search({"term": {"_id": "7"}})["hits"]["hits"][0]
    equal(hit["_index"], INDEX)
    equal({name: hit["_source"][name] for name in ("id", "name", "price", "stock")}, {name: ROWS["7"][name] for name in ("id", "name", "price", "stock")})
    equal(len(hit["_source"]["embedding"]), 4)
    hit = search({"term": {"_id": "7"}}, _source=False)["hits"]["hits"][0]
    assert "_source" not in hit
    for source, expected in [(["name", "pri*"], {"name", "price"}), ("name", {"name"}), ({"excludes": ["*e*"]}, {"id", "stock", "sold"})]:
        hit = search({"term": {"_id": "7"}}, _source=source)["hits"]["hits"][0]
        equal(set(hit["_source"]), expected, str(source))
    answer = search({"match": {"name": "durable"}}, highlight={"fields": {"name": {}, "description": {}}, "pre_tags": ["["], "post_tags": ["]"]})
    for hit in answer["hits"]["hits"]:
        equal(hit["highlight"], {"name": [hit["_source"]["name"].replace("durable", "[durable]")]})
    got = client.mget(index=INDEX, body={"ids": ["1", "nobody"]})["docs"]
    equal([doc["found"] for doc in got], [True, False])
    got = client.mget(body={"docs": [{"_index": INDEX, "_id": "2", "_source": ["name"]}]})["docs"]
    equal(got[0]["_source"], {"name": ROWS["2"]["name"]})


def aggregations():
    query = {"match": {"name": "red"}}
    rows = [row for row in ROWS.values() if "red" in words(row, "name")]
    answer = search(query, size=0, aggs={
        "categories": {"terms": {"field": "category"}},
        "two": {"terms": {"field": "category", "size": 2, "order": {"_key": "asc"}}},
        "prices": {"range": {"field": "price", "ranges": [{"to": 100}, {"from": 100, "to": 200}, {"from": 200, "key": "dear"}]}},
        "price": {"stats": {"field": "price"}},
        "steps": {"histogram": {"field": "price", "interval": 50}},
        "most": {"max": {"field": "price"}},
        "sold": {"terms": {"field": "sold"}},
        "kinds": {"cardinality": {"field": "category"}},
        "none": {"missing": {"field": "stock"}},
    })
    equal(answer["hits"]["hits"], [])
    found = answer["aggregations"]
    counts = {}
    for row in rows:
        counts[row["category"]] = counts.get(row["category"], 0) + 1
    ordered = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    equal(found["categories"], {"doc_count_error_upper_bound": 0, "sum_other_doc_count": 0,
                                "buckets": [{"key": key, "doc_count": count} for key, count in ordered]})
    equal([bucket["key"] for bucket in found["two"]["buckets"]], sorted(counts)[:2])
    equal(found["two"]["sum_other_doc_count"], len(rows) - sum(bucket["doc_count"] for bucket in found["two"]["buckets"]))
    prices = [row["price"] for row in rows]
    equal([(bucket["key"], bucket["doc_count"]) for bucket in found["prices"]["buckets"]], [
        ("*-100.0", sum(price < 100 for price in prices)),
        ("100.0-200.0", sum(100 <= price < 200 for price in prices)),
        ("dear", sum(price >= 200 for price in prices)),
    ])
    equal((found["price"]["count"], found["price"]["min"], found["price"]["max"]), (len(prices), min(prices), max(prices)))
    assert abs(found["price"]["avg"] - sum(prices) / len(prices)) < 1e-9
    equal(found["most"]["value"], max(prices))
    first, last = int(min(prices) // 50), int(max(prices) // 50)
    equal([(bucket["key"], bucket["doc_count"]) for bucket in found["steps"]["buckets"]],
          [(step * 50.0, sum(int(price // 50) == step for price in prices)) for step in range(first, last + 1)])
    equal({(bucket["key"], bucket["key_as_string"], bucket["doc_count"]) for bucket in found["sold"]["buckets"]},
          {(int(flag), str(flag).lower(), sum(row["sold"] is flag for row in rows)) for flag in (True, False)})
    equal(found["kinds"]["value"], len(counts))
    equal(found["none"]["doc_count"], sum(row["stock"] is None for row in rows))
    refused(lambda: search(query, aggs={"a": {"terms": {"field": "category"}, "aggs": {}}}), 400, "aggs")
    refused(lambda: search(query, aggs={"a": {"percentiles": {"field": "price"}}}), 400, "percentiles")


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def vectors():
    vector = [0.6, 0.8, 0.1, 0.0]

    def nearest(rows):
        return sorted(rows, key=lambda row: -cosine(row["embedding"], vector))

    answer = search({"knn": {"embedding": {"vector": vector, "k": 7}}})
    equal(ids(answer), [str(row["id"]) for row in nearest(ROWS.values())[:7]])
    equal(answer["hits"]["total"]["value"], 7)
    for hit in answer["hits"]["hits"]:
        expected = (1 + cosine(ROWS[hit["_id"]]["embedding"], vector)) / 2
        assert abs(hit["_score"] - expected) < 1e-5, (hit["_score"], expected)
    few = {"bool": {"filter": [{"term": {"category": "home"}}, {"match": {"name": "red"}}]}}
    answer = search({"knn": {"embedding": {"vector": vector, "k": 5, "filter": few}}})
    rows = [row for row in ROWS.values() if row["category"] == "home" and "red" in words(row, "name")]
    equal(ids(answer), [str(row["id"]) for row in nearest(rows)[:5]])
    refused(lambda: search({"knn": {"embedding": {"vector": [1, 2], "k": 5}}}), 400, "2 numbers")
    refused(lambda: search({"knn": {"embedding": {"vector": vector}}}), 400, "[k]")
    refused(lambda: search({"bool": {"must": [{"knn": {"embedding": {"vector": vector, "k": 5}}}]}}), 400, "[knn]")

    # Both legs, put together by hand.
    query = {"match": {"name": "durable boot"}}
    by_words = {hit["_id"]: hit["_score"] for hit in search(query, size=300)["hits"]["hits"]}
    by_vector = {hit["_id"]: hit["_score"] for hit in search({"knn": {"embedding": {"vector": vector, "k": 20}}}, size=20)["hits"]["hits"]}

    def normal(scores):
        least, most = min(scores.values()), max(scores.values())
        return {id: (score - least) / (most - least) for id, score in scores.items()}

    hybrid = {"hybrid": {"queries": [query, {"knn": {"embedding": {"vector": vector, "k": 20}}}]}}
    mean = {"phase_results_processors": [{"normalization-processor": {
        "normalization": {"technique": "min_max"},
        "combination": {"technique": "arithmetic_mean", "parameters": {"weights": [0.3, 0.7]}},
    }}]}
    answer = search(hybrid, size=300, search_pipeline=mean)
    words_normal, vector_normal = normal(by_words), normal(by_vector)
    expected = {id: 0.3 * words_normal.get(id, 0) + 0.7 * vector_normal.get(id, 0) for id in {**by_words, **by_vector}}
    equal(set(ids(answer)), set(expected))
    for hit in answer["hits"]["hits"]:
        assert abs(hit["_score"] - expected[hit["_id"]]) < 1e-4, (hit["_id"], hit["_score"], expected[hit["_id"]])
    rrf = {"phase_results_processors": [{"score-ranker-processor": {"combination": {"technique": "rrf", "rank_constant": 10}}}]}
    answer = search(hybrid, size=300, search_pipeline=rrf)
    rank = lambda scores: {id: place + 1 for place, (id, _) in enumerate(sorted(scores.items(), key=lambda one: (-one[1], one[0])))}
    words_rank, vector_rank = rank(by_words), rank(by_vector)
    share = lambda ranks, id: 1 / (10 + ranks[id]) if id in ranks else 0
    for hit in answer["hits"]["hits"]:
        expected_score = share(words_rank, hit["_id"]) + share(vector_rank, hit["_id"])
        assert abs(hit["_score"] - expected_score) < 1e-6, (hit["_id"], hit["_score"], expected_score)
    for technique in ("l2", "z_score"):
        other = {"phase_results_processors": [{"normalization-processor": {"normalization": {"technique": technique}}}]}
        refused(lambda: search(hybrid, search_pipeline=other), 400, technique)
    # A filter of the whole query is one of both sides.
    filtered = {"hybrid": {**hybrid["hybrid"], "filter": {"term": {"category": "shoes"}}}}
    answer = search(filtered, size=300)
    assert ids(answer) and all(ROWS[id]["category"] == "shoes" for id in ids(answer))


def several():
    body = [{"index": INDEX}, {"query": {"match": {"name": "red"}}, "size": 2}, {}, {"query": {"nonsense": {}}}, {"index": "others"}, {}]
    responses = client.msearch(body=body, index=INDEX)["responses"]
    equal([response["status"] for response in responses], [200, 400, 404])
    equal(ids(responses[0]), ids(search({"match": {"name": "red"}}, size=2)))
    assert "nonsense" in responses[1]["error"]["reason"]
    scanned = client.search(index=INDEX, body={"query": {"match_all": {}}}, size=300, _source=False)
    equal(len(ids(scanned)), 300)


for part in (about, writes, queries, pages, sorted_by, shown, aggregations, vectors, several):
    part()
print("all good")
